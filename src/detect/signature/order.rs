//! The order in which signatures are looked at, which is also the order of alerts.
//!
//! Suricata's: action (pass, drop, reject, alert), then writers of flowbits before readers, the same for flowints,
//! captured variables, hostbits and pair bits, then priority (1 first), then sid.

use std::cmp::Ordering;

use crate::alert::XbitOperation;
use crate::alert::XbitTrack;
use crate::rules::{
    Action, CaptureScope, FlowIntOperation, FlowStateOption, Signature, Signatures, Test,
};

/// What a signature does with one kind of state; readers come after writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Write,
    ReadAndWrite,
    Read,
    None,
}

/// The key by which signatures are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    action: u8,
    bits: Use,
    ints: Use,
    flow_variables: bool,
    packet_variables: bool,
    host_bits: Use,
    pair_bits: Use,
    priority: u8,
    sid: u32,
}

/// Indices of the signatures in the order of inspection.
pub(super) fn order(signatures: &Signatures) -> Vec<u32> {
    let mut keyed: Vec<(Key, u32)> = signatures
        .iter()
        .zip(0..)
        .map(|(s, i)| (key(s), i))
        .collect();
    keyed.sort_by(|(a, i), (b, j)| match a.cmp(b) {
        Ordering::Equal => i.cmp(j),
        decided => decided,
    });
    keyed.into_iter().map(|(_, index)| index).collect()
}

fn key(signature: &Signature) -> Key {
    let captures = |scope: CaptureScope| {
        !signature.groups.iter().flat_map(|g| &g.tests).any(
            |test| matches!(test, Test::Pcre(pcre) if pcre.captures.iter().any(|(s, _)| *s == scope)),
        )
    };
    let usage = |read: &dyn Fn(&FlowStateOption) -> bool,
                 write: &dyn Fn(&FlowStateOption) -> bool| match (
        signature.state.iter().any(read),
        signature.state.iter().any(write),
    ) {
        (false, true) => Use::Write,
        (true, true) => Use::ReadAndWrite,
        (true, false) => Use::Read,
        (false, false) => Use::None,
    };
    let xbits = |pair: bool| {
        let of = move |option: &FlowStateOption, reads: bool| match option {
            FlowStateOption::Xbit(condition) => {
                let is_pair = condition.track == XbitTrack::Pair;
                let is_read = matches!(
                    condition.operation,
                    XbitOperation::IsSet | XbitOperation::IsNotSet
                );
                is_pair == pair && is_read == reads
            }
            _ => false,
        };
        usage(&move |o| of(o, true), &move |o| of(o, false))
    };
    Key {
        action: match signature.action {
            Action::Pass => 0,
            Action::Drop => 1,
            Action::RejectSource | Action::RejectDestination | Action::RejectBoth => 2,
            Action::Alert => 3,
            Action::Config => 4,
        },
        bits: usage(
            &|o| {
                matches!(
                    o,
                    FlowStateOption::BitIsSet(_) | FlowStateOption::BitIsNotSet(_)
                )
            },
            &|o| {
                matches!(
                    o,
                    FlowStateOption::BitSet(_)
                        | FlowStateOption::BitUnset(_)
                        | FlowStateOption::BitToggle(_)
                )
            },
        ),
        ints: usage(
            &|o| matches!(o, FlowStateOption::Int { operation, .. } if is_int_test(*operation)),
            &|o| matches!(o, FlowStateOption::Int { operation, .. } if !is_int_test(*operation)),
        ),
        flow_variables: captures(CaptureScope::Flow),
        packet_variables: captures(CaptureScope::Packet),
        host_bits: xbits(false),
        pair_bits: xbits(true),
        priority: signature.priority,
        sid: signature.sid.0,
    }
}

/// Whether a flowint operation only looks.
pub(super) fn is_int_test(operation: FlowIntOperation) -> bool {
    matches!(
        operation,
        FlowIntOperation::Test(_) | FlowIntOperation::IsSet | FlowIntOperation::IsNotSet
    )
}
