//! Runs programs in processes of their own and reads what they say.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use millstream::Clock;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};

/// Where the programs are, and how long one may take.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The folder of the binaries.
    pub(crate) folder: PathBuf,
    /// After this long a program is killed and counts as failed.
    pub(crate) limit: Duration,
}

/// A program with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The binary.
    pub(crate) program: String,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Whether it is given a new folder for checkpoints.
    pub(crate) has_checkpoints: bool,
}

impl Call {
    /// A call of `program`.
    pub(crate) fn new<A: Into<OsString>>(
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Call {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            has_checkpoints: false,
        }
    }

    /// The same call with one more flag.
    #[must_use]
    pub(crate) fn with(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        self.arguments.push(flag.into());
        self.arguments.push(value.into());
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)?;
        for argument in &self.arguments {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        Ok(())
    }
}

/// What kept a program from giving figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The binary was not built.
    Missing(String),
    /// It was killed, because it took too long.
    Slow(String),
    /// It failed, or did not end with a line of JSON.
    Failed(String),
}

/// The figures of a program: the JSON object in the last line of its output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(Map<String, Value>);

impl Figures {
    /// The figures in this text.
    ///
    /// # Errors
    /// When it is not a JSON object; the text is the error.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        match serde_json::from_str(json) {
            Ok(Value::Object(figures)) => Ok(Figures(figures)),
            _ => Err(json.to_owned()),
        }
    }

    /// The figure at `path`, a name or names with dots between (`windows.0.p50_ms`).
    pub(crate) fn number(&self, path: &str) -> Option<f64> {
        self.get(path)?.as_f64()
    }

    /// A whole number that is compared exactly.
    pub(crate) fn whole(&self, path: &str) -> Option<u64> {
        self.get(path)?.as_u64()
    }

    /// A text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// A list of figures.
    pub(crate) fn list(&self, path: &str) -> Option<Vec<Figures>> {
        let values = self.get(path)?.as_array()?;
        values
            .iter()
            .map(|value| value.as_object().cloned().map(Figures))
            .collect()
    }

    fn get(&self, path: &str) -> Option<&Value> {
        let mut names = path.split('.');
        let first = self.0.get(names.next()?)?;
        names.try_fold(first, |value, name| match value {
            Value::Array(values) => values.get(name.parse::<usize>().ok()?),
            other => other.get(name),
        })
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

impl Programs {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it is not there, fails, is too slow, or its output does not end with figures.
    pub(crate) fn run(&self, call: &Call) -> Result<Figures, Fault> {
        let path = self.folder.join(&call.program);
        if !path.is_file() {
            return Err(Fault::Missing(format!(
                "there is no program `{}`",
                call.program
            )));
        }
        let failed = |what: String| Fault::Failed(format!("`{call}` {what}"));
        let mut child = Command::new(path)
            .args(&call.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| failed(format!("did not start: {e}")))?;
        let clock = Clock::system();
        let output = child.stdout.take().map(read_all);
        let errors = child.stderr.take().map(read_all);
        let (Some(output), Some(errors)) = (output, errors) else {
            return Err(failed("has no output".to_owned()));
        };
        let left = || {
            self.limit
                .saturating_sub(Duration::from_micros(clock.monotonic_us()))
        };
        let (Ok(output), Ok(errors)) = (output.recv_timeout(left()), errors.recv_timeout(left()))
        else {
            end_all(&mut child);
            let secs = self.limit.as_secs();
            return Err(Fault::Slow(format!("`{call}` did not end within {secs} s")));
        };
        let status = child
            .wait()
            .map_err(|e| failed(format!("cannot be waited for: {e}")))?;
        if !status.success() {
            return Err(failed(format!("failed ({status}): {}", tail(&errors))));
        }
        last_line(&output).map_err(failed)
    }
}

/// Kills a program with those that it has started.
fn end_all(child: &mut Child) {
    // It may have ended at this very moment: then there is nothing to kill.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The end of what a program has said, short enough for a table.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines
        .get(lines.len().saturating_sub(3)..)
        .unwrap_or_default()
        .join(" / ")
}

fn last_line(output: &str) -> Result<Figures, String> {
    let line = output.trim_end().lines().next_back().unwrap_or_default();
    Figures::parse(line).map_err(|line| format!("does not end with a JSON object but with: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Figures, Fault> {
        let programs = Programs {
            folder: "/bin".into(),
            limit,
        };
        programs.run(&Call::new("sh", ["-c", script]))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn figures_are_the_last_line() {
        let figures = shell(
            r#"echo '| table |'; echo '{"rows": 18446744073709551615, "w": [{"p50": 1.5}], "n": null}'; echo"#,
            LONG,
        )
        .unwrap();
        assert_eq!(figures.whole("rows"), Some(u64::MAX));
        assert_eq!(figures.number("w.0.p50"), Some(1.5));
        for path in ["w.1.p50", "w.x", "n", "rows.p50", ""] {
            assert_eq!(figures.number(path), None, "{path}");
        }
    }

    #[track_caller]
    fn check_failure(done: Result<Figures, Fault>, part: &str) {
        match done {
            Err(Fault::Failed(why)) => assert!(why.contains(part), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_goes_wrong_is_said() {
        check_failure(shell("echo a >&2; echo b >&2; exit 3", LONG), "a / b");
        check_failure(shell("echo '[1]'", LONG), "but with: [1]");
        check_failure(shell("true", LONG), "but with: ");
        let slow = shell("sleep 60; true", Duration::from_millis(50));
        assert!(matches!(slow, Err(Fault::Slow(why)) if why.contains("did not end within")));
        let nowhere = Programs {
            folder: "/bin".into(),
            limit: LONG,
        };
        let call = Call::new("no-such-program", ["--x"]);
        assert_eq!(
            nowhere.run(&call),
            Err(Fault::Missing(
                "there is no program `no-such-program`".to_owned()
            ))
        );
    }
}
