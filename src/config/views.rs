//! How each segment sees the rules: which are off, and what `$HOME_NET` and its kin mean there.
//!
//! One engine serves all segments: only the sets of addresses and ports that mean something else in a segment are made
//! again. A segment that names its networks has them as its `HOME_NET`, unless it says otherwise.

use std::collections::HashSet;
use std::sync::Arc;

use super::Config;
use crate::detect::signature::SegmentView;
use crate::grade::Segment;
use crate::rules::{self, RuleSet, Variables};

impl Config {
    /// A view for each segment, in their order; none when there is only the default one. The error names the segment.
    pub fn segment_views(&self, rules: &RuleSet) -> Result<Vec<SegmentView>, String> {
        let segments = &self.grade.segments.list;
        if segments.len() <= 1 {
            return Ok(Vec::new());
        }
        segments
            .iter()
            .map(|segment| self.view(rules, segment))
            .collect()
    }

    /// What the views are made of, to tell one configuration from another.
    pub fn segment_views_text(&self) -> String {
        let segments = &self.grade.segments.list;
        if segments.len() <= 1 {
            return String::new();
        }
        let parts = segments.iter().map(|s| {
            let mut disabled = s.changes.disabled.clone();
            disabled.sort_unstable();
            format!("{:?} {disabled:?} {:?}\n", s.name, s.variables)
        });
        parts.collect()
    }

    fn view(&self, rules: &RuleSet, segment: &Segment) -> Result<SegmentView, String> {
        let mut view = SegmentView::default();
        if !segment.changes.disabled.is_empty() {
            let off: HashSet<u32> = segment.changes.disabled.iter().copied().collect();
            let is_off = |s: &rules::Signature| off.contains(&s.sid.0);
            view.disabled = rules.signatures.iter().map(is_off).collect();
        }
        if segment.variables.is_empty() {
            return Ok(view);
        }
        let mut variables: Variables = self.variables.clone();
        for (name, value) in &segment.variables {
            let is_port = variables.ports.contains_key(name) || name.contains("PORT");
            let map = if is_port {
                &mut variables.ports
            } else {
                &mut variables.addresses
            };
            map.insert(name.clone(), value.clone());
        }
        let said = |error: String| format!("segment {}: {error}", segment.name);
        let mut seen: HashSet<&str> = HashSet::new();
        for signature in &rules.signatures {
            for set in [&signature.src, &signature.dst] {
                if !set.text.contains('$') || !seen.insert(&set.text) {
                    continue;
                }
                let here = rules::addresses(&set.text, &variables).map_err(said)?;
                if !here.same(set) {
                    view.addresses.push((set.text.clone(), Arc::new(here)));
                }
            }
            for set in [&signature.sport, &signature.dport] {
                if !set.text.contains('$') || !seen.insert(&set.text) {
                    continue;
                }
                let here = rules::ports(&set.text, &variables).map_err(said)?;
                if !here.same(set) {
                    view.ports.push((set.text.clone(), Arc::new(here)));
                }
            }
        }
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_names_its_networks_has_them_as_home_net() {
        let text = r#"
[[segment]]
name = "dmz"
role = "dmz"
subnets = ["192.0.2.0/24"]
disable = [7]
[[segment]]
name = "lan"
role = "intranet"
subnets = ["10.0.0.0/8"]
[segment.vars]
HTTP_PORTS = "[80,8080]"
"#;
        let mut config = Config::default();
        let mut errors = Vec::new();
        config.read("sensor.toml", text, &mut errors);
        assert_eq!(errors, []);
        let rule = "alert http $EXTERNAL_NET any -> $HOME_NET $HTTP_PORTS (msg:\"x\"; content:\"x\"; sid:7;)";
        let set = rules::load_text("x.rules", rule, &Variables::default());
        let views = config.segment_views(&set).expect("views");
        assert_eq!(views.len(), 3);
        let [dmz, lan, rest] = views.as_slice() else {
            unreachable!()
        };
        assert_eq!(dmz.disabled, [true]);
        let home = |view: &SegmentView| {
            let found = view.addresses.iter().find(|(t, _)| &**t == "$HOME_NET");
            found.map(|(_, set)| set.contains("192.0.2.7".parse().expect("address")))
        };
        assert_eq!(
            (home(dmz), home(lan), home(rest)),
            (Some(true), Some(false), None)
        );
        assert_eq!((dmz.ports.len(), lan.ports.len()), (0, 1));
    }

    #[test]
    fn a_segment_of_everything_has_an_outside_all_the_same() {
        let text = "[[segment]]\nname = \"all\"\nrole = \"dmz\"\nsubnets = [\"0.0.0.0/0\"]\n";
        let mut config = Config::default();
        let mut errors = Vec::new();
        config.read("sensor.toml", text, &mut errors);
        assert_eq!(errors, []);
        let rule =
            "alert http $EXTERNAL_NET any -> $HOME_NET any (msg:\"x\"; content:\"x\"; sid:7;)";
        let set = rules::load_text("x.rules", rule, &Variables::default());
        let views = config.segment_views(&set).expect("views");
        assert!(views.iter().all(|view| view.addresses.is_empty()));
    }
}
