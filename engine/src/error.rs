//! One error type for the whole engine, grouped by what the caller must do.

use std::error::Error as StdError;
use std::fmt;

/// The result of anything that can fail in Millstream.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller must do about an [`Error`]. The kind is stable; the message is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The job's definition or its settings are wrong: mend the program or the flags.
    Config,
    /// The input holds something that cannot be read: mend the data or choose to skip it.
    Input,
    /// A checkpoint is damaged, incomplete, foreign or of another format. Nothing was changed.
    Checkpoint,
    /// The machine refused: disk full, no permission, a file vanished. Try again when mended.
    Io,
    /// Code of the user's panicked or returned an error.
    User,
    /// The engine found itself in a state that its own rules forbid: please report it.
    Internal,
}

impl ErrorKind {
    fn title(self) -> &'static str {
        match self {
            ErrorKind::Config => "the job is not set up right",
            ErrorKind::Input => "bad input",
            ErrorKind::Checkpoint => "checkpoint refused",
            ErrorKind::Io => "input/output failed",
            ErrorKind::User => "user code failed",
            ErrorKind::Internal => "internal error (please report it)",
        }
    }
}

/// An error: its kind, what happened, what to do about it, and what caused it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            remedy: None,
            source: None,
        }))
    }

    /// The job's definition or settings are wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The input cannot be read.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// A checkpoint cannot be used.
    pub fn checkpoint(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Checkpoint, message)
    }

    /// The operating system refused to do `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, what).caused_by(source)
    }

    /// User code failed.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// The engine broke a rule of its own.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Says what the reader can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Keeps the error that led to this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts where it happened in front of the message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// What the caller must do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the cause and the remedy.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.title(), self.0.message)?;
        let mut cause = self.0.source.as_deref().map(|e| e as &dyn StdError);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        if let Some(remedy) = &self.0.remedy {
            write!(f, "\n  remedy: {remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_kind_place_cause_and_remedy() {
        let error = Error::io("cannot open `a.csv`", std::io::Error::other("gone"))
            .at("source `flights`")
            .remedy("check the path");
        assert_eq!(
            error.to_string(),
            "input/output failed: source `flights`: cannot open `a.csv`: gone\n  remedy: check the path"
        );
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
