//! The control socket of a running sensor: `sekisho ctl` talks to it.
//!
//! ```text
//! {"command":"status"}                                    ─▶
//! {"command":"block","arguments":{"address":"192.0.2.7"}} ─▶  one JSON object a line
//!                                                         ◀─  {"return":"OK","message":{…}}
//!                                                         ◀─  {"return":"NOK","message":"why"}
//! ```
//!
//! The form is that of Suricata's unix socket, so that scripts for it need little change.
//! Who may connect is decided by the file's permissions (0660: the sensor's user and group), nothing else.
//! Limits: [`CONNECTIONS_MAX`] connections at a time, lines of at most [`LINE_MAX`] bytes, [`IDLE`] without a request.

mod http;
mod metrics;
mod operator;
mod tally;

pub use http::MetricsServer;
pub use metrics::{counters, prometheus};
pub use operator::{Loaded, Operator, write_datasets};
pub use tally::{Tally, TallySink};

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sys::wait_readable;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 16;
/// Bytes of a request.
const LINE_MAX: u64 = 64 * 1024;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(60);
/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);

/// A request.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Request {
    /// What is to be done.
    pub command: String,
    /// With what.
    pub arguments: serde_json::Map<String, Value>,
    /// Protocol version that clients of Suricata say first.
    version: Option<String>,
}

impl Request {
    /// An argument that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }

    /// An argument that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.arguments.get(name).and_then(Value::as_u64)
    }
}

/// An answer.
pub enum Answer {
    /// Done, with what there is to say.
    Done(Value),
    /// Done; bytes follow on the same connection until it is closed.
    Stream(Value, Box<dyn Iterator<Item = Vec<u8>>>),
}

/// Answers requests; the error is for people.
pub type Answering = dyn Fn(&Request) -> Result<Answer, String> + Send + Sync;

/// The open socket. It goes away with this.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlSocket {
    /// Opens the socket and answers on a thread of its own. A socket that is left over from a sensor that is gone is
    /// replaced; that of one that runs is an error.
    pub fn open(path: &Path, answer: Arc<Answering>) -> std::io::Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        if path.exists() {
            if UnixStream::connect(path).is_ok() {
                return Err(std::io::Error::other("another sensor answers there"));
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || listen(&listener, &answer, &stopping))?;
        Ok(Self {
            path: path.to_path_buf(),
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(listener: &UnixListener, answer: &Arc<Answering>, stop: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    while !stop.load(Ordering::Acquire) {
        let _ = wait_readable(&[listener.as_raw_fd()], LOOK);
        let Ok((mut stream, _)) = listener.accept() else {
            continue;
        };
        if open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::AcqRel);
            let _ = write_line(&mut stream, &refusal("too many connections"));
            continue;
        }
        let (answer, counted) = (Arc::clone(answer), Arc::clone(&open));
        let started = std::thread::Builder::new()
            .name("control peer".to_owned())
            .spawn(move || {
                let _ = converse(stream, &*answer);
                counted.fetch_sub(1, Ordering::AcqRel);
            });
        if started.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn refusal(why: &str) -> Value {
    json!({"return": "NOK", "message": why})
}

fn write_line(stream: &mut UnixStream, value: &Value) -> std::io::Result<()> {
    let mut line = value.to_string();
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// Answers one peer until it goes.
fn converse(mut stream: UnixStream, answer: &Answering) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = Vec::new();
        (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && line.len() as u64 >= LINE_MAX {
            return write_line(&mut stream, &refusal("the line is too long"));
        }
        let request: Request = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => {
                write_line(&mut stream, &refusal(&format!("not a request: {error}")))?;
                continue;
            }
        };
        if request.command.is_empty() && request.version.is_some() {
            write_line(&mut stream, &json!({"return": "OK"}))?;
            continue;
        }
        match answer(&request) {
            Ok(Answer::Done(message)) => {
                write_line(&mut stream, &json!({"return": "OK", "message": message}))?;
            }
            Ok(Answer::Stream(message, bytes)) => {
                write_line(&mut stream, &json!({"return": "OK", "message": message}))?;
                for part in bytes {
                    stream.write_all(&part)?;
                }
                return Ok(());
            }
            Err(why) => write_line(&mut stream, &refusal(&why))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(stream: &mut UnixStream, line: &str) -> Value {
        stream.write_all(line.as_bytes()).expect("writes");
        stream.write_all(b"\n").expect("writes");
        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .expect("reads");
        serde_json::from_str(&answer).expect("JSON")
    }

    fn echo(request: &Request) -> Result<Answer, String> {
        match request.command.as_str() {
            "echo" => Ok(Answer::Done(json!(request.text("say")))),
            other => Err(format!("no command '{other}'")),
        }
    }

    #[test]
    fn requests_are_answered_and_nonsense_is_refused_without_closing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("c.sock");
        let socket = ControlSocket::open(&path, Arc::new(echo)).expect("opens");
        let mut peer = UnixStream::connect(&path).expect("connects");
        assert_eq!(ask(&mut peer, "{\"version\":\"0.2\"}")["return"], "OK");
        assert_eq!(ask(&mut peer, "nonsense")["return"], "NOK");
        assert_eq!(
            ask(&mut peer, "{\"command\":\"dance\"}")["message"],
            "no command 'dance'"
        );
        let answer = ask(
            &mut peer,
            "{\"command\":\"echo\",\"arguments\":{\"say\":\"hi\"}}",
        );
        assert_eq!(
            (&answer["return"], &answer["message"]),
            (&json!("OK"), &json!("hi"))
        );
        assert!(
            ControlSocket::open(&path, Arc::new(echo)).is_err(),
            "one that answers is left alone"
        );
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("c.sock");
        let _socket = ControlSocket::open(&path, Arc::new(echo)).expect("opens");
        let mut peer = UnixStream::connect(&path).expect("connects");
        let _ = peer.write_all(&vec![b'x'; LINE_MAX as usize]);
        let mut answer = String::new();
        let _ = BufReader::new(peer).read_line(&mut answer);
        assert!(answer.contains("too long"), "{answer}");
    }
}
