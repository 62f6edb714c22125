//! What rules learn of a flow in words and numbers: captures of expressions (`pcre:"/…/, flow:name"`) and the entropy of
//! buffers. Shown with the flow's records (EVE `metadata.flowvars`, `.pktvars`, `.entropy`).
//!
//! Limits: [`VARS_MAX`] variables of [`VALUE_MAX`] bytes, [`ENTROPIES_MAX`] buffers.

use std::sync::Arc;

use crate::rules::CaptureScope;

/// Variables that a flow or packet keeps.
const VARS_MAX: usize = 32;
/// Bytes of a value that are kept.
const VALUE_MAX: usize = 256;
/// Buffers of a flow whose entropy is kept.
const ENTROPIES_MAX: usize = 16;

/// Captured text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Where it goes.
    pub scope: CaptureScope,
    /// Its name.
    pub name: Arc<str>,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// Variables of a flow.
#[derive(Clone, Debug, Default)]
pub struct FlowVars {
    flow: Vec<(Arc<str>, Vec<u8>)>,
    packet: Vec<(Arc<str>, Vec<u8>)>,
    entropy: Vec<(Arc<str>, f64)>,
}

fn put<T>(list: &mut Vec<(Arc<str>, T)>, name: &Arc<str>, value: T, max: usize) {
    let full = list.len() >= max;
    match list.iter_mut().find(|(known, _)| known == name) {
        Some(slot) => slot.1 = value,
        None if full => {}
        None => list.push((Arc::clone(name), value)),
    }
}

impl FlowVars {
    /// Takes what an expression captured in a signature that matched.
    pub fn note(&mut self, captured: &Captured) {
        let value = captured.value.get(..VALUE_MAX).unwrap_or(&captured.value);
        let list = match captured.scope {
            CaptureScope::Flow => &mut self.flow,
            CaptureScope::Packet | CaptureScope::Alert => &mut self.packet,
        };
        put(list, &captured.name, value.to_vec(), VARS_MAX);
    }

    /// Takes the entropy of a buffer.
    pub fn note_entropy(&mut self, buffer: &Arc<str>, entropy: f64) {
        put(&mut self.entropy, buffer, entropy, ENTROPIES_MAX);
    }

    /// What belongs to the packet before is forgotten. Says whether there was anything.
    pub fn next_packet(&mut self) -> bool {
        let any = !self.packet.is_empty();
        self.packet.clear();
        any
    }

    /// Variables of the flow.
    pub fn of_flow(&self) -> &[(Arc<str>, Vec<u8>)] {
        &self.flow
    }

    /// Variables of the packet in hand.
    pub fn of_packet(&self) -> &[(Arc<str>, Vec<u8>)] {
        &self.packet
    }

    /// Entropy by buffer, in bits a byte.
    pub fn entropy(&self) -> &[(Arc<str>, f64)] {
        &self.entropy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_bounded_and_replaced() {
        let mut vars = FlowVars::default();
        for i in 0..100 {
            vars.note(&Captured {
                scope: CaptureScope::Flow,
                name: format!("v{i}").into(),
                value: vec![b'x'; 1000],
            });
        }
        assert_eq!(vars.of_flow().len(), VARS_MAX);
        assert_eq!(vars.of_flow()[0].1.len(), VALUE_MAX);
        vars.note(&Captured {
            scope: CaptureScope::Flow,
            name: "v0".into(),
            value: b"new".to_vec(),
        });
        assert_eq!(vars.of_flow()[0].1, b"new");
        vars.note(&Captured {
            scope: CaptureScope::Packet,
            name: "p".into(),
            value: b"x".to_vec(),
        });
        assert!(vars.next_packet() && !vars.next_packet());
    }
}
