//! The examples as child processes.

use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use millstream::Clock;

/// No run takes this long.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// An example with its flags.
pub(crate) struct Program {
    path: PathBuf,
    flags: Vec<String>,
}

impl Program {
    pub(crate) fn new(example: &str) -> Self {
        // target/release/deps/crash-... and target/release/examples/NAME
        let test = std::env::current_exe().unwrap();
        let release = test.parent().and_then(Path::parent).unwrap();
        let path = release.join("examples").join(example);
        assert!(
            path.exists(),
            "{} is missing: build it with `cargo build --release --examples`",
            path.display()
        );
        Program {
            path,
            flags: Vec::new(),
        }
    }

    pub(crate) fn flag(mut self, name: &str, value: impl Display) -> Self {
        self.flags.extend([name.to_owned(), value.to_string()]);
        self
    }

    pub(crate) fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    /// Starts it with its output and its checkpoints in `dir`.
    pub(crate) fn start(&self, dir: &Path, workers: u64) -> Run {
        let child = Command::new(&self.path)
            .args(&self.flags)
            .args(["--checkpoint-interval", "50ms", "--memory", "256MiB"])
            .args(["--workers", &workers.to_string()])
            .arg("--output")
            .arg(dir.join("output"))
            .arg("--checkpoint-dir")
            .arg(dir.join("checkpoints"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Run(child)
    }
}

/// A running example; it does not outlive the test.
pub(crate) struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Run {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it ends within so many milliseconds.
    pub(crate) fn wait_at_most(&mut self, ms: u64) -> bool {
        let clock = Clock::system();
        let until_us = clock.monotonic_us() + ms * 1000;
        loop {
            if self.0.try_wait().unwrap().is_some() {
                return true;
            }
            let left_us = until_us.saturating_sub(clock.monotonic_us());
            if left_us == 0 {
                return false;
            }
            std::thread::park_timeout(Duration::from_micros(left_us.min(1000)));
        }
    }

    /// SIGKILL. Returns whether it came before the end of the process.
    pub(crate) fn kill(mut self) -> bool {
        self.0.kill().unwrap();
        let (status, stderr) = self.wait();
        assert!(
            status.code().is_none_or(|code| code == 0),
            "{status}: {stderr}"
        );
        status.code().is_none()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
    }

    /// How it ended, and what it said.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let ended = self.wait_at_most(HANGS_AFTER.as_millis() as u64);
        assert!(ended, "the job hangs");
        let status = self.0.wait().unwrap();
        let mut stderr = String::new();
        let mut pipe = self.0.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        (status, stderr)
    }
}
