//! Which part of the machine an interface and a processor belong to (NUMA), as sysfs says it.
//!
//! A packet that a thread of another node looks at crosses between the nodes, which costs a part of the rate; so it is
//! stated at start. Deliberately not here: moving anything. Source: Documentation/ABI/stable/sysfs-devices-node,
//! `/sys/class/net/NAME/device/numa_node` (-1: the device belongs to none, as on machines with one node).

use std::path::Path;

/// The node of an interface's card; none for virtual interfaces and on machines with one node.
fn node_of_interface(sys: &Path, name: &str) -> Option<u32> {
    let path = sys.join("class/net").join(name).join("device/numa_node");
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse().ok()
}

/// The node of a processor.
fn node_of_cpu(sys: &Path, cpu: usize) -> Option<u32> {
    let folder = sys.join(format!("devices/system/cpu/cpu{cpu}"));
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix("node")?.parse().ok()
    })
}

/// The processors of a node, as the kernel lists them (`0-7,16-23`).
fn cpus_of_node(sys: &Path, node: u32) -> Option<String> {
    let path = sys.join(format!("devices/system/node/node{node}/cpulist"));
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// How many nodes there are; 0: the kernel does not say.
fn nodes(sys: &Path) -> usize {
    let entries = std::fs::read_dir(sys.join("devices/system/node"));
    let is_node = |name: &str| {
        let number = name.strip_prefix("node");
        number.is_some_and(|n| n.parse::<u32>().is_ok())
    };
    entries.map_or(0, |list| {
        list.flatten()
            .filter(|e| e.file_name().to_str().is_some_and(is_node))
            .count()
    })
}

/// Where an interface and the threads that look at it stand, in words; with what to do when they stand apart.
/// `cpus`: the processors of the threads, none when they are not pinned.
pub fn statement(name: &str, cpus: &[usize]) -> String {
    stated(Path::new("/sys"), name, cpus)
}

fn stated(sys: &Path, name: &str, cpus: &[usize]) -> String {
    if nodes(sys) < 2 {
        return "NUMA: one node".to_owned();
    }
    let Some(card) = node_of_interface(sys, name) else {
        return "NUMA: the interface belongs to no node".to_owned();
    };
    let beside = cpus_of_node(sys, card).unwrap_or_default();
    if cpus.is_empty() {
        return format!(
            "NUMA node {card}; threads are not pinned (processors {beside} are beside it)"
        );
    }
    let apart: Vec<String> = cpus
        .iter()
        .filter_map(|cpu| Some((cpu, node_of_cpu(sys, *cpu)?)))
        .filter(|(_, node)| *node != card)
        .map(|(cpu, node)| format!("{cpu} (node {node})"))
        .collect();
    if apart.is_empty() {
        format!("NUMA node {card}, and so are its threads")
    } else {
        format!(
            "NUMA node {card}, but threads are on processors {}: every packet crosses over; processors {beside} are beside it",
            apart.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with two nodes: processors 0 and 1 at node 0, 2 and 3 at node 1, and a card at node 1.
    fn machine() -> tempfile::TempDir {
        let sys = tempfile::tempdir().expect("folder");
        let make = |path: &str| std::fs::create_dir_all(sys.path().join(path)).expect("folder");
        for cpu in 0..4 {
            make(&format!("devices/system/cpu/cpu{cpu}/node{}", cpu / 2));
        }
        for (node, list) in [(0, "0-1\n"), (1, "2-3\n")] {
            make(&format!("devices/system/node/node{node}"));
            let path = format!("devices/system/node/node{node}/cpulist");
            std::fs::write(sys.path().join(path), list).expect("file");
        }
        for (name, node) in [("eth1", "1\n"), ("eth2", "-1\n")] {
            make(&format!("class/net/{name}/device"));
            let path = format!("class/net/{name}/device/numa_node");
            std::fs::write(sys.path().join(path), node).expect("file");
        }
        sys
    }

    #[test]
    fn threads_on_another_node_than_the_card_are_named() {
        let sys = machine();
        let of = |name: &str, cpus: &[usize]| stated(sys.path(), name, cpus);
        assert_eq!(of("eth1", &[2, 3]), "NUMA node 1, and so are its threads");
        assert_eq!(
            of("eth1", &[0, 2]),
            "NUMA node 1, but threads are on processors 0 (node 0): every packet crosses over; processors 2-3 are beside it"
        );
        assert!(of("eth1", &[]).contains("not pinned (processors 2-3"));
        assert!(of("eth2", &[0]).contains("no node"));
        let small = tempfile::tempdir().expect("folder");
        assert_eq!(stated(small.path(), "eth1", &[0]), "NUMA: one node");
    }
}
