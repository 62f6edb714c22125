//! Whether an attack worked, as far as an answer or the end of a flow shows it.

use crate::alert::{Efficacy, OutcomeNote};
use crate::app::Outcome;
use crate::flow::{Flow, FlowState, TcpState};

/// What an answer says about an attack in the request: success codes make it likely, refusals make it failed.
pub(super) fn outcome_of(outcome: Outcome) -> (Efficacy, &'static str, u32) {
    match outcome {
        Outcome::Unknown => (Efficacy::Unknown, "", 0),
        Outcome::Success(code) => (Efficacy::Reached, "answered with success", code),
        Outcome::Failure(code) => (Efficacy::Failed, "answered with refusal", code),
        Outcome::Answered(code) => (Efficacy::Reached, "answered", code),
    }
}

/// What the end of a flow shows: nobody answered, refused, or served.
pub(super) fn flow_outcome(flow: &Flow, number: u64) -> OutcomeNote {
    let answered = flow.packets[1] > 0;
    let (efficacy, reason) = match &flow.tcp {
        Some(tcp)
            if tcp.closed_by_rst && !flow.is_established() && tcp.state < TcpState::Established =>
        {
            (Efficacy::Failed, "connection refused")
        }
        _ if !answered => (Efficacy::Unknown, "no answer seen"),
        _ if flow.state >= FlowState::Established => (Efficacy::Reached, "service answered"),
        _ => (Efficacy::Unknown, ""),
    };
    OutcomeNote {
        number,
        flow_id: flow.id,
        tx: None,
        efficacy,
        reason,
        code: 0,
    }
}
