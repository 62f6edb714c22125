//! `[[interface]]` and `[[inline]]` of the configuration: where live traffic comes from.
//!
//! ```toml
//! [[interface]]                    # passive: listened to
//! name = "eth1"                    # or ["tap0", "tap1"]: the two halves of a tap, merged by time
//! method = "af-packet"             # af-packet, af-xdp, or pcap: whatever libpcap opens, as "any"
//! threads = 1                      # capture threads; af-xdp: one a queue
//! fanout = "hash"                  # af-packet with several threads: hash, queue or cpu
//! block-bytes = "256kb"            # af-packet: of a block of frames
//! blocks = 64                      # af-packet: blocks a thread
//! block-timeout-ms = 4             # af-packet: age at which a block that is not full is handed over
//! promiscuous = true
//! hardware-timestamps = false      # af-packet: times by the card's clock, where the card can
//! cpus = [2, 3]                    # processor of each thread; not pinned when left out
//! filter = "not port 22"           # af-packet, pcap: what is seen, in tcpdump's language (needs libpcap)
//!
//! [[inline]]                       # traffic passes through the sensor
//! ports = ["eth1", "eth2"]
//! method = "af-packet"             # af-packet, af-xdp or nfqueue
//! threads = 1                      # af-xdp: one a queue
//! queue = 0                        # nfqueue: number of the first queue (threads: so many in a row)
//! fail-open = true                 # nfqueue: the kernel lets packets through while the queue is full
//! repeat-mark = 1                  # nfqueue: packets that may pass go through the chain again with this mark
//! repeat-mask = 1
//! cpus = [2]
//! kernel-block-list = true         # blocked sources are dropped by the kernel: XDP on the ports, with nfqueue a table of
//!                                  # our own in nftables; default: with af-xdp
//! ```

use serde::Deserialize;

use crate::sys::af_packet::Fanout;

/// How an interface is listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenMethod {
    /// AF_PACKET, TPACKET_V3.
    #[default]
    AfPacket,
    /// AF_XDP.
    AfXdp,
    /// libpcap.
    Pcap,
}

/// An interface listened to.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Its name; two for the halves of a tap.
    pub names: Vec<String>,
    /// How.
    pub method: ListenMethod,
    /// Capture threads.
    pub threads: u16,
    /// How they share the frames.
    pub fanout: Fanout,
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Blocks a thread.
    pub blocks: u32,
    /// Age at which a block is handed over, in milliseconds.
    pub block_timeout_ms: u32,
    /// See frames for other hosts.
    pub promiscuous: bool,
    /// Processor of each thread.
    pub cpus: Vec<usize>,
    /// What is seen, in tcpdump's language; empty: everything.
    pub filter: String,
    /// Times by the card's clock instead of the kernel's.
    pub hardware_timestamps: bool,
}

/// How traffic passes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InlineMethod {
    /// A bridge of two ports over AF_PACKET.
    #[default]
    AfPacket,
    /// A bridge of two ports over AF_XDP.
    AfXdp,
    /// The kernel's queues (nftables and iptables: queue).
    Nfqueue,
}

/// Traffic that passes through the sensor.
#[derive(Clone, Debug)]
pub struct Inline {
    /// The two ports; none for nfqueue.
    pub ports: Vec<String>,
    /// How.
    pub method: InlineMethod,
    /// Capture threads.
    pub threads: u16,
    /// Number of the first queue (nfqueue).
    pub queue: u16,
    /// Processor of each thread.
    pub cpus: Vec<usize>,
    /// Whether the kernel lets packets through while the queue is full (nfqueue).
    pub fail_open: bool,
    /// Mark and mask with which packets that may pass go through the firewall's chain again (nfqueue).
    pub repeat: Option<(u32, u32)>,
    /// Whether blocked sources are dropped by the kernel.
    pub kernel_block_list: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ListenText {
    name: Names,
    method: Option<String>,
    threads: Option<u16>,
    fanout: Option<String>,
    block_bytes: Option<toml::Value>,
    blocks: Option<u32>,
    block_timeout_ms: Option<u32>,
    promiscuous: Option<bool>,
    #[serde(default)]
    cpus: Vec<usize>,
    #[serde(default)]
    filter: String,
    hardware_timestamps: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct InlineText {
    #[serde(default)]
    ports: Vec<String>,
    method: Option<String>,
    threads: Option<u16>,
    queue: Option<u16>,
    #[serde(default)]
    cpus: Vec<usize>,
    fail_open: Option<bool>,
    repeat_mark: Option<u32>,
    repeat_mask: Option<u32>,
    kernel_block_list: Option<bool>,
}

/// Capture threads of an interface at most.
const THREADS_MAX: u16 = 64;

fn threads(wanted: Option<u16>, errors: &mut Vec<String>) -> u16 {
    let threads = wanted.unwrap_or(1);
    if threads == 0 || threads > THREADS_MAX {
        errors.push(format!("threads: wants 1 to {THREADS_MAX}, not {threads}"));
    }
    threads
}

/// Reads an `[[interface]]`. All that is wrong with it at once.
pub fn listen(value: &toml::Value) -> Result<Listen, Vec<String>> {
    let text: ListenText = value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| vec![e.message().to_owned()])?;
    let mut errors = Vec::new();
    let names = match text.name {
        Names::One(name) => vec![name],
        Names::Several(names) => names,
    };
    if names.is_empty() || names.len() > 2 || names.iter().any(String::is_empty) {
        errors.push("name: wants an interface, or the two halves of a tap".to_owned());
    }
    let method = match text.method.as_deref() {
        None | Some("af-packet") => ListenMethod::AfPacket,
        Some("af-xdp") => ListenMethod::AfXdp,
        Some("pcap") => ListenMethod::Pcap,
        Some(other) => {
            errors.push(format!(
                "method: wants af-packet, af-xdp or pcap, not '{other}'"
            ));
            ListenMethod::AfPacket
        }
    };
    let fanout = match text.fanout.as_deref() {
        None | Some("hash") => Fanout::Hash,
        Some("queue") => Fanout::Queue,
        Some("cpu") => Fanout::Cpu,
        Some(other) => {
            errors.push(format!("fanout: wants hash, queue or cpu, not '{other}'"));
            Fanout::Hash
        }
    };
    let block_bytes = match text.block_bytes.as_ref().map(super::keys::size) {
        None => 1 << 18,
        Some(Ok(bytes)) => match u32::try_from(bytes) {
            Ok(bytes) if bytes.is_power_of_two() && (1 << 16..=1 << 26).contains(&bytes) => bytes,
            _ => {
                errors.push("block-bytes: wants a power of two from 64kb to 64mb".to_owned());
                1 << 18
            }
        },
        Some(Err(message)) => {
            errors.push(format!("block-bytes: {message}"));
            1 << 18
        }
    };
    let blocks = text.blocks.unwrap_or(64);
    if blocks < 4 || u64::from(blocks) * u64::from(block_bytes) > 1 << 31 {
        errors.push("blocks: wants at least 4, and at most 2gb of blocks".to_owned());
    }
    if method == ListenMethod::AfXdp && !text.filter.is_empty() {
        errors.push("filter: only with af-packet and pcap".to_owned());
    }
    if method != ListenMethod::AfPacket && names.len() > 1 {
        errors.push("name: af-xdp and pcap listen to one interface".to_owned());
    }
    if method == ListenMethod::Pcap && text.threads.is_some_and(|t| t > 1) {
        errors.push("threads: pcap reads a device with one".to_owned());
    }
    if text.hardware_timestamps == Some(true) && method != ListenMethod::AfPacket {
        errors.push("hardware-timestamps: only with af-packet".to_owned());
    }
    let listen = Listen {
        names,
        method,
        threads: threads(text.threads, &mut errors),
        fanout,
        block_bytes,
        blocks,
        block_timeout_ms: text.block_timeout_ms.unwrap_or(4).max(1),
        promiscuous: text.promiscuous.unwrap_or(true),
        cpus: text.cpus,
        filter: text.filter,
        hardware_timestamps: text.hardware_timestamps.unwrap_or(false),
    };
    if errors.is_empty() {
        Ok(listen)
    } else {
        Err(errors)
    }
}

/// Reads an `[[inline]]`. All that is wrong with it at once.
pub fn inline(value: &toml::Value) -> Result<Inline, Vec<String>> {
    let text: InlineText = value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| vec![e.message().to_owned()])?;
    let mut errors = Vec::new();
    let method = match text.method.as_deref() {
        None | Some("af-packet") => InlineMethod::AfPacket,
        Some("af-xdp") => InlineMethod::AfXdp,
        Some("nfqueue") => InlineMethod::Nfqueue,
        Some(other) => {
            errors.push(format!(
                "method: wants af-packet, af-xdp or nfqueue, not '{other}'"
            ));
            InlineMethod::AfPacket
        }
    };
    match (method, text.ports.as_slice()) {
        (InlineMethod::Nfqueue, []) => {}
        (InlineMethod::Nfqueue, _) => {
            errors.push("ports: nfqueue has none; the firewall's rules say what is queued".into());
        }
        (_, [one, other]) if one != other && !one.is_empty() && !other.is_empty() => {}
        _ => errors.push("ports: wants two different interfaces".to_owned()),
    }
    let inline = Inline {
        ports: text.ports,
        method,
        threads: threads(text.threads, &mut errors),
        queue: text.queue.unwrap_or(0),
        cpus: text.cpus,
        fail_open: text.fail_open.unwrap_or(true),
        repeat: text
            .repeat_mark
            .map(|mark| (mark, text.repeat_mask.unwrap_or(u32::MAX))),
        kernel_block_list: text
            .kernel_block_list
            .unwrap_or(method == InlineMethod::AfXdp),
    };
    if errors.is_empty() {
        Ok(inline)
    } else {
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> toml::Value {
        toml::Value::Table(text.parse().expect("toml"))
    }

    #[test]
    fn an_interface_needs_only_its_name() {
        let eth1 = listen(&value("name = \"eth1\"")).expect("reads");
        assert_eq!((eth1.threads, eth1.method), (1, ListenMethod::AfPacket));
        let tap = listen(&value("name = [\"a\", \"b\"]\nblock-bytes = \"1mb\"")).expect("reads");
        assert_eq!((tap.names.len(), tap.block_bytes), (2, 1 << 20));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = "name = \"\"\nmethod = \"magic\"\nfanout = \"dice\"\nthreads = 0\nblocks = 1";
        assert_eq!(listen(&value(text)).expect_err("wrong").len(), 5);
        let text = "ports = [\"a\", \"a\"]\nmethod = \"nfqueu\"";
        assert_eq!(inline(&value(text)).expect_err("wrong").len(), 2);
        let nfqueue = value("method = \"nfqueue\"\nports = [\"a\", \"b\"]");
        assert_eq!(inline(&nfqueue).expect_err("wrong").len(), 1);
    }
}
