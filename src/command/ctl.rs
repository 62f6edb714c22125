//! `sekisho ctl`: asks a running sensor over its unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sekisho::config::SOCKET;
use serde_json::{Value, json};

/// Asks a running sensor, or tells it what to do.
#[derive(clap::Args)]
pub struct Arguments {
    /// The sensor's control socket.
    #[arg(long, default_value = SOCKET, global = true)]
    socket: PathBuf,
    /// Prints the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Whether it works, with which rules, since when.
    Status,
    /// All counters.
    Stats,
    /// Rates, drops, levels, talkers and rules, live. q ends.
    Top {
        /// Prints one view and ends.
        #[arg(long)]
        once: bool,
    },
    /// Rules, variables, segments and assets anew; the old ones stay when the new ones fail.
    Reload,
    /// Stops everything from an address (inline).
    Block {
        /// Whom.
        address: IpAddr,
        /// For how long.
        #[arg(long, default_value_t = 3600)]
        seconds: u32,
    },
    /// Lets an address through again.
    Unblock {
        /// Whom.
        address: IpAddr,
    },
    /// Who may not pass, and until when.
    Blocklist,
    /// The packets of a host into a pcap file, from now on.
    Capture {
        /// Whose.
        host: IpAddr,
        /// The file; - is standard output.
        file: PathBuf,
        /// At most so many packets.
        #[arg(long, default_value_t = 10_000)]
        packets: u32,
        /// At most for so long.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// What each signature costs: on, off, or the dearest ones.
    Profile {
        /// on, off or show.
        #[arg(default_value = "show", value_parser = ["on", "off", "show"])]
        what: String,
        /// Signatures shown.
        #[arg(long, default_value_t = 20)]
        count: u32,
    },
    /// Adds a value to a data set.
    DatasetAdd(DatasetValue),
    /// Takes a value out of a data set.
    DatasetRemove(DatasetValue),
    /// Whether a value is in a data set.
    DatasetLookup(DatasetValue),
    /// Empties a data set.
    DatasetClear {
        /// Its name.
        set: String,
        /// string, md5, sha256, ipv4 or ip.
        kind: String,
    },
    /// Writes the data sets that are to be kept to their files now.
    DatasetDump,
}

/// A value of a data set.
#[derive(clap::Args)]
struct DatasetValue {
    /// The name of the set.
    set: String,
    /// string, md5, sha256, ipv4 or ip.
    kind: String,
    /// The value as a file has it: strings in base64, digests in hexadecimal.
    value: String,
}

impl DatasetValue {
    fn details(&self) -> Value {
        json!({"setname": self.set, "settype": self.kind, "datavalue": self.value})
    }
}

/// Carries it out.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut peer = Peer::connect(&arguments.socket)?;
    let (command, details) = match &arguments.command {
        Command::Status => ("status", json!({})),
        Command::Stats => ("stats", json!({})),
        Command::Top { once } => {
            let ask = &mut || peer.ask("top", &json!({}));
            return super::top::run(ask, *once);
        }
        Command::Reload => ("reload", json!({})),
        Command::Block { address, seconds } => (
            "block",
            json!({"address": address.to_string(), "seconds": seconds}),
        ),
        Command::Unblock { address } => ("unblock", json!({"address": address.to_string()})),
        Command::Blocklist => ("blocklist", json!({})),
        Command::Capture {
            host,
            file,
            packets,
            seconds,
        } => {
            let details =
                json!({"address": host.to_string(), "packets": packets, "seconds": seconds});
            return capture(peer, &details, file);
        }
        Command::DatasetAdd(value) => ("dataset-add", value.details()),
        Command::DatasetRemove(value) => ("dataset-remove", value.details()),
        Command::DatasetLookup(value) => ("dataset-lookup", value.details()),
        Command::DatasetClear { set, kind } => {
            ("dataset-clear", json!({"setname": set, "settype": kind}))
        }
        Command::DatasetDump => ("dataset-dump", json!({})),
        Command::Profile { what, count } => ("profile", json!({"do": what, "count": count})),
    };
    let message = peer.ask(command, &details)?;
    let mut out = std::io::stdout().lock();
    let printed = if arguments.json {
        writeln!(out, "{message}")
    } else {
        match command {
            "blocklist" => print_blocks(&mut out, &message),
            "profile" if message.get("rules").is_some() => print_costs(&mut out, &message),
            _ => print(&mut out, "", &message),
        }
    };
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The sensor at the other end.
struct Peer {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

/// How long an answer may take: a cold start of all rules takes a while.
const PATIENCE: Duration = Duration::from_secs(300);

impl Peer {
    fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("no sensor answers at {}", path.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut line = json!({"command": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        self.reader.read_line(&mut answer)?;
        let mut answer: Value =
            serde_json::from_str(&answer).context("the sensor went away without an answer")?;
        let message = answer.get_mut("message").map(Value::take);
        if answer.get("return").and_then(Value::as_str) == Some("OK") {
            return Ok(message.unwrap_or_default());
        }
        match message {
            Some(Value::String(why)) => bail!("{}", clean(&why)),
            other => bail!("{}", other.unwrap_or_default()),
        }
    }
}

fn capture(mut peer: Peer, details: &Value, file: &Path) -> Result<ExitCode> {
    let mut out: Box<dyn Write> = if file == Path::new("-") {
        Box::new(std::io::stdout().lock())
    } else {
        let made = std::fs::File::create(file);
        Box::new(made.with_context(|| file.display().to_string())?)
    };
    peer.ask("capture", details)?;
    let mut bytes = 0u64;
    let mut part = vec![0; 64 * 1024];
    loop {
        let count = peer.reader.read(&mut part)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        out.write_all(part.get(..count).unwrap_or_default())?;
    }
    out.flush()?;
    eprintln!("sekisho: {}: {bytes} bytes", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Text that came from traffic or files, without what a terminal would act on.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '.' } else { c })
        .collect()
}

/// One leaf a line, with dots between names.
fn print(out: &mut dyn Write, prefix: &str, value: &Value) -> std::io::Result<()> {
    let below = |name: &str| {
        if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}.{name}")
        }
    };
    match value {
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, value)| print(out, &below(name), value)),
        Value::Array(list) if list.iter().any(|v| v.is_object() || v.is_array()) => list
            .iter()
            .enumerate()
            .try_for_each(|(at, value)| print(out, &below(&at.to_string()), value)),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(word).collect();
            writeln!(out, "{prefix}: {}", list.join(", "))
        }
        Value::Null => Ok(()),
        leaf => writeln!(out, "{prefix}: {}", word(leaf)),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        other => other.to_string(),
    }
}

fn print_blocks(out: &mut dyn Write, message: &Value) -> std::io::Result<()> {
    let entries = message.get("entries").and_then(Value::as_array);
    let entries = entries.map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return writeln!(out, "nobody is blocked");
    }
    let of = |entry: &Value, name: &str| entry.get(name).map(word).unwrap_or_default();
    for entry in entries {
        writeln!(
            out,
            "{:<40} {:<14} {:>7} s left  by {}",
            of(entry, "address"),
            of(entry, "action"),
            of(entry, "seconds_left"),
            of(entry, "by")
        )?;
    }
    Ok(())
}

fn print_costs(out: &mut dyn Write, message: &Value) -> std::io::Result<()> {
    writeln!(
        out,
        "{:>10} {:>10} {:>9} {:>11} {:>10} {:>6}  signature",
        "sid", "checks", "matches", "total us", "max us", "share"
    )?;
    let rules = message.get("rules").and_then(Value::as_array);
    for rule in rules.map(Vec::as_slice).unwrap_or_default() {
        let number = |name: &str| rule.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        writeln!(
            out,
            "{:>10} {:>10} {:>9} {:>11.1} {:>10.1} {:>5.1}%  {}",
            number("sid"),
            number("checks"),
            number("matches"),
            number("nanos") / 1e3,
            number("nanos_max") / 1e3,
            number("share") * 100.0,
            rule.get("signature").map(word).unwrap_or_default()
        )?;
    }
    Ok(())
}
