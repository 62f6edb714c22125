//! What rules noted of a flow, as members of its records: `metadata` (flowbits, flowints, captures, entropy) and
//! `traffic` (flowbits named `traffic/id/…` and `traffic/label/…`).
//!
//! Written when it changes, not when a record is: most flows have none.

use crate::alert::Json;
use crate::detect::signature::FlowRules;
use crate::rules::RuleSet;

/// Writes the members into `out`, which is emptied first.
pub fn write(rules: &RuleSet, flow: &FlowRules, out: &mut Vec<u8>) {
    out.clear();
    let name = |bit: &u32| rules.bit_names.get(*bit as usize).map(String::as_str);
    let names = || flow.bits().iter().filter_map(name);
    let plain = || names().filter(|name| traffic(name).is_none());
    let vars = flow.vars();
    let any_vars = vars.is_some_and(|vars| {
        !(vars.of_flow().is_empty() && vars.of_packet().is_empty() && vars.entropy().is_empty())
    });
    let mut json = Json::new(out);
    if plain().next().is_some() || !flow.ints().is_empty() || any_vars {
        json.object("metadata");
        if plain().next().is_some() {
            json.array("flowbits");
            for bit in plain() {
                json.text(bit);
            }
            json.end_array();
        }
        if !flow.ints().is_empty() {
            json.object("flowints");
            for (variable, value) in flow.ints() {
                if let Some(name) = rules.int_names.get(*variable as usize) {
                    json.hostile_key(name.as_bytes()).number(*value);
                }
            }
            json.end();
        }
        if let Some(vars) = vars {
            for (list, vars) in [("flowvars", vars.of_flow()), ("pktvars", vars.of_packet())] {
                if vars.is_empty() {
                    continue;
                }
                json.array(list);
                for (name, value) in vars {
                    json.begin().hostile_key(name.as_bytes()).text(value).end();
                }
                json.end_array();
            }
            if !vars.entropy().is_empty() {
                json.object("entropy");
                for (buffer, entropy) in vars.entropy() {
                    json.float(buffer, *entropy);
                }
                json.end();
            }
        }
        json.end();
    }
    if names().any(|name| traffic(name).is_some()) {
        json.object("traffic");
        for list in ["id", "label"] {
            let of = || {
                names()
                    .filter_map(traffic)
                    .filter(|(kind, _)| *kind == list)
            };
            if of().next().is_none() {
                continue;
            }
            json.array(list);
            for (_, text) in of() {
                json.text(text);
            }
            json.end_array();
        }
        json.end();
    }
}

/// Kind and text of a bit that describes the traffic.
fn traffic(name: &str) -> Option<(&'static str, &str)> {
    if let Some(text) = name.strip_prefix("traffic/id/") {
        return Some(("id", text));
    }
    name.strip_prefix("traffic/label/")
        .map(|text| ("label", text))
}
