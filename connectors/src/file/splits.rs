//! Which files a path stands for: each is a split.

use std::path::{Component, Path, PathBuf};

use millstream_engine::error::{Error, Result};

/// Lists the files that `path` stands for, by their names as splits: a file, the `*.csv` and
/// `*.csv.gz` files of a folder, or the files that match a glob pattern. Hidden files are passed
/// over, as a shell does.
pub(crate) fn list(path: &Path) -> Result<Vec<String>> {
    let mut files = match kind_of(path) {
        Kind::File => vec![path.to_path_buf()],
        Kind::Folder => csv_files_in(path)?,
        Kind::Pattern => matches_of(path)?,
        Kind::Missing => {
            return Err(
                Error::config(format!("there is no file or folder `{}`", path.display()))
                    .remedy("check the path; a relative one starts at the working directory"),
            );
        }
    };
    if files.is_empty() {
        return Err(Error::config(format!("`{}` stands for no file", path.display()))
            .remedy("a folder stands for its files that end in `.csv` or `.csv.gz`; a pattern for the files that match it"));
    }
    files.sort_unstable();
    let base = base_of(path);
    files.iter().map(|file| name_of(file, &base)).collect()
}

/// The file of a split.
pub(crate) fn file_of(path: &Path, split: &str) -> PathBuf {
    base_of(path).join(split)
}

enum Kind {
    File,
    Folder,
    Pattern,
    Missing,
}

fn kind_of(path: &Path) -> Kind {
    if path.is_dir() {
        Kind::Folder
    } else if path.exists() {
        Kind::File
    } else if path.components().any(is_pattern) {
        Kind::Pattern
    } else {
        Kind::Missing
    }
}

fn is_pattern(component: Component<'_>) -> bool {
    component
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// What split names are relative to. It depends on the path alone where it can, so that a file
/// that vanished is still found missing under its own name.
fn base_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.to_path_buf()
    } else if !path.exists() && path.components().any(is_pattern) {
        path.components().take_while(|c| !is_pattern(*c)).collect()
    } else {
        path.parent().map(Path::to_path_buf).unwrap_or_default()
    }
}

fn name_of(file: &Path, base: &Path) -> Result<String> {
    let name = file.strip_prefix(base).unwrap_or(file);
    name.to_str().map(String::from).ok_or_else(|| {
        Error::config(format!(
            "the file name `{}` is not valid UTF-8",
            file.display()
        ))
        .remedy("rename the file; checkpoints know files by their names")
    })
}

fn csv_files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |cause| Error::io(format!("cannot list folder `{}`", folder.display()), cause);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if is_visible_csv(&file) && file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

fn is_visible_csv(file: &Path) -> bool {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    !name.starts_with('.') && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
}

fn matches_of(pattern: &Path) -> Result<Vec<PathBuf>> {
    let bad = |reason: String| {
        Error::config(format!(
            "`{}` is not a usable pattern: {reason}",
            pattern.display()
        ))
        .remedy("use `*`, `**`, `?` and `[a-z]` as in a shell")
    };
    let text = pattern
        .to_str()
        .ok_or_else(|| bad("it is not valid UTF-8".into()))?;
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let mut files = Vec::new();
    for file in glob::glob_with(text, options).map_err(|cause| bad(cause.to_string()))? {
        let file = file.map_err(|cause| {
            Error::io(
                format!("cannot list `{}`", cause.path().display()),
                cause.into(),
            )
        })?;
        if file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn a_path_stands_for_its_files() {
        let dir = folder(&[
            "b.csv",
            "a.csv.gz",
            ".c.csv",
            "d.txt",
            "E.CSV",
            "sub/f.csv",
            "sub/g.csv",
        ]);
        let check = |path: &str, expect: &[&str]| {
            let path = dir.path().join(path);
            assert_eq!(list(&path).unwrap(), expect, "{path:?}");
            for split in expect {
                assert!(file_of(&path, split).is_file(), "{path:?} {split}");
            }
        };
        check("", &["E.CSV", "a.csv.gz", "b.csv"]);
        check("d.txt", &["d.txt"]);
        check("sub", &["f.csv", "g.csv"]);
        check("*.csv", &["b.csv"]);
        check("**/*.csv", &["b.csv", "sub/f.csv", "sub/g.csv"]);
        check("s*/[f]*", &["sub/f.csv"]);
    }

    #[test]
    fn a_path_that_stands_for_nothing_is_refused() {
        let dir = folder(&["a.txt"]);
        for path in ["missing.csv", "", "*.csv"] {
            let error = list(&dir.path().join(path)).unwrap_err();
            assert_eq!(
                error.kind(),
                millstream_engine::error::ErrorKind::Config,
                "{path}"
            );
            assert!(error.to_string().contains("remedy"), "{error}");
        }
    }

    #[test]
    fn a_name_with_pattern_characters_is_a_file_if_it_exists() {
        let dir = folder(&["x[1].csv"]);
        let path = dir.path().join("x[1].csv");
        assert_eq!(list(&path).unwrap(), ["x[1].csv"]);
        assert_eq!(file_of(&path, "x[1].csv"), path);
    }
}
