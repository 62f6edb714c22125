//! FTP's data connections: one file or listing each, told by the control connection that announced it.
//!
//! Never recognised by content. The bytes are not parsed; a file with a name is given to detection as such.

use crate::alert::Json;
use crate::app::{
    Access, ExpectedContext, Field, FieldDirection, FieldTest, File, FileLimits, FileState, Files,
    FlowInfo, Input, Limits, LogHead, Parsed, Protocol, Rides, Session, Transaction, TxList,
    TxState, TxStore, session_members, transaction_members,
};
use crate::packet::Direction;

const STATES: &[&str] = &["in_progress", "finished"];
const FINISHED: u8 = 1;

/// Commands that `ftpdata_command` may ask for.
const COMMANDS: &[&str] = &["stor", "appe", "stou", "retr", "nlst", "list", "mlsd"];

/// FTP data.
#[derive(Debug)]
pub struct FtpData;

/// FTP data.
pub static FTP_DATA: FtpData = FtpData;

impl Protocol for FtpData {
    fn name(&self) -> &'static str {
        "ftp-data"
    }

    fn rides(&self) -> Rides {
        Rides::Switched
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(DataSession {
            file: limits.file(),
            ..DataSession::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn states(&self, _direction: Direction) -> &'static [&'static str] {
        STATES
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("ftp_data"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = of(tx) else { return };
        json.object("ftp_data");
        if !tx.told.filename.is_empty() {
            json.str("filename", &tx.told.filename);
        }
        if !tx.told.command.is_empty() {
            json.str("command", &tx.told.command);
        }
        json.end();
    }
}

/// The transaction of a data connection.
#[derive(Debug)]
struct DataTx {
    state: TxState,
    told: ExpectedContext,
    /// Which way the data goes.
    direction: Direction,
    files: Files,
    done: bool,
    inline: bool,
}

impl Transaction for DataTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        if direction != self.direction || self.done {
            FINISHED
        } else {
            0
        }
    }
    fn files(&self, direction: Direction) -> Option<&Files> {
        (direction == self.direction).then_some(&self.files)
    }
    fn files_mut(&mut self, direction: Direction) -> Option<&mut Files> {
        (direction == self.direction).then_some(&mut self.files)
    }
}

/// The state of a data connection.
#[derive(Debug, Default)]
struct DataSession {
    txs: TxStore<DataTx>,
    told: ExpectedContext,
    file: FileLimits,
}

impl Session for DataSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let expected = if self.told.upload {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        if direction != expected {
            return Parsed::All;
        }
        if self.txs.total() == 0 {
            if input.bytes.is_empty() && input.gap == 0 {
                return Parsed::All;
            }
            let mut files = Files::default();
            if !self.told.filename.is_empty() {
                files.open(File::new(self.told.filename.clone(), self.file));
            }
            let (told, inline) = (self.told.clone(), flow.inline);
            self.txs.push(DataTx {
                state: TxState::default(),
                told,
                direction,
                files,
                done: false,
                inline,
            });
        }
        let Some(tx) = self.txs.last_mut() else {
            return Parsed::All;
        };
        if !tx
            .state
            .updated
            .get(direction.index())
            .copied()
            .unwrap_or(true)
        {
            tx.files.note_inspection(false, tx.inline);
        }
        tx.state.touch(direction);
        if let Some(file) = tx.files.last_mut() {
            if input.gap > 0 {
                file.gap(input.gap);
            }
            file.append(input.bytes);
            if input.end {
                file.close(if file.gaps {
                    FileState::Truncated
                } else {
                    FileState::Closed
                });
            }
        }
        if input.end {
            tx.done = true;
            tx.state.touch(direction.reverse());
        }
        Parsed::All
    }

    fn expected(&mut self, context: &ExpectedContext) {
        self.told = context.clone();
    }
}

fn of(tx: &dyn Transaction) -> Option<&DataTx> {
    tx.as_any().downcast_ref()
}

/// `ftpdata_command`.
#[derive(Debug)]
struct CommandTest(&'static str);

impl FieldTest for CommandTest {
    fn test(&self, tx: &dyn Transaction, _session: &dyn Session, _direction: Direction) -> bool {
        of(tx).is_some_and(|tx| tx.told.command.eq_ignore_ascii_case(self.0.as_bytes()))
    }
}

fn command(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let argument = argument.trim();
    let known = COMMANDS.iter().find(|name| **name == argument);
    known
        .map(|name| Box::new(CommandTest(name)) as Box<dyn FieldTest>)
        .ok_or_else(|| {
            format!(
                "ftpdata_command is one of {}, not {argument:?}",
                COMMANDS.join(", ")
            )
        })
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, FieldDirection::Both, access, doc).also(aliases)
}

static FIELDS: &[Field] = &[
    field(
        "ftpdata_command",
        &[],
        Access::Test(command),
        "command that opened the data connection",
    ),
    field(
        "file.data",
        &["file_data"],
        Access::Streaming(|tx, direction, index| {
            let tx = of(tx)?;
            tx.files(direction)?.get(index)?.due(tx.done, tx.inline)
        }),
        "the bytes of the file",
    ),
    field(
        "file.name",
        &[],
        Access::Multi(|tx, direction, index, _| {
            Some(of(tx)?.files(direction)?.get(index)?.name.as_slice())
        }),
        "the name of the file",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::feed::Feed;

    #[test]
    fn the_file_is_what_the_control_connection_told() {
        let mut feed = Feed::new(&FTP_DATA, 6, 1025);
        let context = ExpectedContext {
            command: b"RETR".into(),
            filename: b"a.txt".into(),
            upload: false,
        };
        feed.session.expected(&context);
        feed.give(Direction::ToServer, b"ignored");
        feed.give(Direction::ToClient, b"root:x");
        let end = Input {
            bytes: b":0\n",
            gap: 0,
            end: true,
        };
        feed.session.parse(Direction::ToClient, end, &feed.flow);
        let tx = feed.session.transactions().at(0).expect("transaction");
        assert_eq!(
            (
                tx.progress(Direction::ToClient),
                tx.progress(Direction::ToServer)
            ),
            (FINISHED, FINISHED)
        );
        let file = tx
            .files(Direction::ToClient)
            .and_then(|files| files.get(0))
            .expect("file");
        assert_eq!((file.size, file.state), (9, FileState::Closed));
        let window = file.due(true, false).expect("due");
        assert_eq!((window.bytes, window.complete), (&b"root:x:0\n"[..], true));
        assert!(CommandTest("retr").test(tx, feed.session.as_ref(), Direction::ToClient));
        assert!(command("quit").is_err());
        assert_eq!(feed.logged(&FTP_DATA)[0]["ftp_data"]["filename"], "a.txt");
    }
}
