//! A source file as the rules see it: its lines, and every name in it with what is known about it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What breaks a rule, and where.
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A file of the repository.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Empty unless it is Rust.
    pub(crate) names: Vec<Name>,
}

/// A path as it is written (`crate::error::Result`), imports in braces written out; or one word.
#[derive(Clone, Default)]
pub(crate) struct Name {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) is_method: bool,
    pub(crate) is_called: bool,
    pub(crate) is_macro: bool,
    pub(crate) in_test: bool,
    /// How many `mod name { }` of this file it stands in.
    inline_depth: usize,
}

impl Name {
    /// The top-level module that it leads to, if it leads to the root of the crate, which is
    /// `depth` modules above its file.
    pub(crate) fn root_module(&self, depth: usize) -> Option<&str> {
        let up = match self.segments[0].as_str() {
            "crate" => 1,
            "super" => {
                let up = self.segments.iter().take_while(|s| *s == "super");
                let up = up.count();
                if up != depth + self.inline_depth {
                    return None;
                }
                up
            }
            _ => return None,
        };
        self.segments.get(up).map(String::as_str)
    }
}

impl Source {
    pub(crate) fn text(path: String, text: String) -> Self {
        let names = Vec::new();
        Source { path, text, names }
    }

    pub(crate) fn rust(path: String, text: String) -> Self {
        let stream: TokenStream = match text.parse() {
            Ok(stream) => stream,
            Err(error) => panic!("{path} is not Rust: {error}"),
        };
        let mut names = Vec::new();
        read_names(stream, &Name::default(), &mut names);
        Source { path, text, names }
    }

    pub(crate) fn read_rust(path: String) -> Self {
        match fs::read_to_string(root().join(&path)) {
            Ok(text) => Source::rust(path, text),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// None if it is not text, or is gone.
    pub(crate) fn read_text(path: String) -> Option<Self> {
        let text = fs::read_to_string(root().join(&path)).ok()?;
        Some(Source::text(path, text))
    }

    pub(crate) fn production_names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter().filter(|name| !name.in_test)
    }

    pub(crate) fn names_where<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Name>,
        breaks: impl Fn(&Name) -> bool,
    ) -> Vec<Finding> {
        names
            .into_iter()
            .filter(|name| breaks(name))
            .map(|name| self.finding(name.line, format!("`{}`", name.segments.join("::"))))
            .collect()
    }

    pub(crate) fn lines_where(&self, breaks: impl Fn(&str) -> bool) -> Vec<Finding> {
        (1..)
            .zip(self.text.lines())
            .filter(|(_, line)| breaks(line))
            .map(|(number, line)| self.finding(number, line.trim().to_owned()))
            .collect()
    }

    pub(crate) fn finding(&self, line: usize, what: String) -> Finding {
        let path = self.path.clone();
        Finding { path, line, what }
    }

    pub(crate) fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number - 1).unwrap_or_default()
    }

    /// The modules, as paths without `.rs`, that this file declares for tests only.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let folder = ["/mod", "/lib"]
            .iter()
            .find_map(|end| path.strip_suffix(end))
            .unwrap_or(path);
        self.names
            .windows(2)
            .filter(|pair| pair[0].segments == ["mod"] && pair[1].in_test)
            .map(|pair| format!("{folder}/{}", pair[1].segments[0]))
            .collect()
    }
}

/// Appends every name in a stream. `context` carries what holds for all of them.
fn read_names(stream: TokenStream, context: &Name, names: &mut Vec<Name>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut context = context.clone();
    // Whether what comes after the next item is test code.
    let mut around = context.in_test;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(_) => {
                let opens_module = is_ident(&tokens, at.wrapping_sub(1), "mod");
                at = read_path(&tokens, at, &context, names);
                if let (true, Some(TokenTree::Group(body))) = (opens_module, tokens.get(at)) {
                    let mut inside = context.clone();
                    inside.inline_depth += 1;
                    read_names(body.stream(), &inside, names);
                    context.in_test = around;
                    at += 1;
                }
                continue;
            }
            TokenTree::Group(group) => {
                read_names(group.stream(), &context, names);
                if is_test_attribute(&tokens, at) {
                    context.in_test = true;
                    around |= is_punct(&tokens, at.wrapping_sub(1), '!');
                } else if group.delimiter() == Delimiter::Brace {
                    context.in_test = around;
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => context.in_test = around,
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

/// Words that a path with a leading `::` may follow; they are no part of it.
const BEFORE_PATHS: &[&str] = &[
    "as", "dyn", "else", "for", "if", "impl", "in", "match", "mut", "return", "use", "where",
    "while",
];

/// Reads the path that starts at `at`; returns where it ends. A group after `::` (an import in
/// braces) gives one name for each of its leaves.
fn read_path(tokens: &[TokenTree], at: usize, prefix: &Name, names: &mut Vec<Name>) -> usize {
    let mut name = prefix.clone();
    name.is_method = is_punct(tokens, at.wrapping_sub(1), '.');
    let mut at = at;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => {
                name.line = ident.span().start().line;
                name.segments.push(ident.to_string());
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                name.line = star.span().start().line;
                name.segments.push("*".to_owned());
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                read_leaves(group.stream(), &name, names);
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        let ends = BEFORE_PATHS
            .iter()
            .any(|word| is_ident(tokens, at - 1, word));
        if ends || !(is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':')) {
            break;
        }
        at += 2;
    }
    name.is_macro = is_punct(tokens, at, '!');
    name.is_called = matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    // A `use {a, b};` has no path of its own.
    if !name.segments.is_empty() {
        names.push(name);
    }
    at
}

fn read_leaves(stream: TokenStream, prefix: &Name, names: &mut Vec<Name>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    let mut starts = true;
    while at < tokens.len() {
        let separates = is_punct(&tokens, at, ',');
        // What follows a leaf up to the comma is its new name (`as name`).
        if starts && !separates && !is_punct(&tokens, at, ':') {
            at = read_path(&tokens, at, prefix, names);
            starts = false;
        } else {
            starts |= separates;
            at += 1;
        }
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_ident(tokens: &[TokenTree], at: usize, wanted: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(ident)) if ident == wanted)
}

/// Whether the group at `at` is the `[cfg(test)]` of an attribute, or `[cfg(all(test, ..))]`.
fn is_test_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let before = |distance: usize, wanted| is_punct(tokens, at.wrapping_sub(distance), wanted);
    let text = tokens[at].to_string().replace([' ', '\n'], "");
    (before(1, '#') || (before(1, '!') && before(2, '#')))
        && (text == "[cfg(test)]" || text.starts_with("[cfg(all(test,"))
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files under these folders. Files that are tests as a whole count as test code.
pub(crate) fn rust_sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        walk(folder, &mut paths);
    }
    let mut sources: Vec<Source> = paths
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(Source::read_rust)
        .collect();
    let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let is_test = tests.iter().any(|module| {
            source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/"))
        });
        if is_test {
            source.names.iter_mut().for_each(|name| name.in_test = true);
        }
    }
    sources
}

/// All text files that are, or would be, in the repository; without git (an unpacked archive),
/// those in `folders`.
pub(crate) fn tracked_texts(folders: &[&str]) -> Vec<Source> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(["--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let mut paths: BTreeSet<String> = listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect();
    if !paths.contains("engine/tests/tidy.rs") {
        let mut walked = Vec::new();
        folders.iter().for_each(|folder| walk(folder, &mut walked));
        paths = walked.into_iter().collect();
    }
    paths.into_iter().filter_map(Source::read_text).collect()
}

/// Every file below a folder of the repository, in a stable order. A folder that is not there yet
/// has none.
fn walk(folder: &str, paths: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return;
    };
    let mut found: Vec<(String, bool)> = entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (format!("{folder}/{name}"), entry.path().is_dir())
        })
        .collect();
    found.sort();
    for (path, is_folder) in found {
        if !is_folder {
            paths.push(path);
        } else if !path.ends_with("/target") {
            walk(&path, paths);
        }
    }
}
