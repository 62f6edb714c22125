//! Which segment may talk to which, by service: what is declared (detectors.md D18, "inter-segment matrix").
//!
//! One line for each pair that may: `lan > dmz: 80 443 udp/123`, `lan > outside: *`, `guests > lan: none`. `outside` is
//! whoever is not ours. A segment that stands on the left of any line may do what its lines say and nothing else towards
//! other segments and outside; of a segment that never stands there nothing is said. Within a segment everything may talk.
//! At most [`LINES`] lines, each compared with one connection when it is answered.

/// The name of what is not ours.
pub const OUTSIDE: &str = "outside";
/// Lines that are read, at most.
pub const LINES: usize = 256;

/// A line of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Name of the segment that begins the connection.
    pub from: String,
    /// Name of the segment that answers.
    pub to: String,
    /// Protocol and port; nothing: every service.
    services: Option<Vec<(u8, u16)>>,
}

impl Line {
    /// Reads a line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "'{text}': {what}; wants 'SEGMENT > SEGMENT: SERVICES', as in 'lan > dmz: 443 udp/53'"
            )
        };
        let (from, rest) = text.split_once('>').ok_or_else(|| wrong("no '>'"))?;
        let (to, services) = rest.rsplit_once(':').ok_or_else(|| wrong("no ':'"))?;
        let (from, to) = (from.trim(), to.trim());
        if from.is_empty() || to.is_empty() {
            return Err(wrong("a name is missing"));
        }
        let services = match services.trim() {
            "" => return Err(wrong("no services (* for all, none for none)")),
            "*" => None,
            "none" => Some(Vec::new()),
            list => {
                let read = list.split_whitespace().map(|word| {
                    service(word)
                        .ok_or_else(|| wrong(&format!("'{word}' is no port, tcp/port or udp/port")))
                });
                Some(read.collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            from: from.to_owned(),
            to: to.to_owned(),
            services,
        })
    }

    fn allows(&self, to: &str, service: (u8, u16)) -> bool {
        self.to == to
            && self
                .services
                .as_ref()
                .is_none_or(|services| services.contains(&service))
    }
}

/// A protocol and a port: TCP where nothing is said.
fn service(word: &str) -> Option<(u8, u16)> {
    let (proto, port) = match word.split_once('/') {
        None => (6, word),
        Some(("tcp", port)) => (6, port),
        Some(("udp", port)) => (17, port),
        Some(_) => return None,
    };
    Some((proto, port.parse().ok()?))
}

/// Whether a connection from one segment to another is allowed; nothing where no line speaks of who begins it, or where
/// they are one.
pub fn allows(lines: &[Line], (from, to): (&str, &str), service: (u8, u16)) -> Option<bool> {
    if from.is_empty() || to.is_empty() || from == to {
        return None;
    }
    let mut spoken = lines.iter().filter(|line| line.from == from).peekable();
    spoken.peek()?;
    Some(spoken.any(|line| line.allows(to, service)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_may_do_what_its_lines_say_and_nothing_else() {
        let lines: Vec<Line> = [
            "lan > dmz: 80 443 udp/53",
            "lan > outside: *",
            "guest rooms>outside:443",
            "dmz > lan: none",
        ]
        .map(|text| Line::parse(text).expect("line"))
        .into();
        let of = |from, to, proto, port| allows(&lines, (from, to), (proto, port));
        assert_eq!(of("lan", "dmz", 6, 443), Some(true));
        assert_eq!(of("lan", "dmz", 17, 53), Some(true));
        assert_eq!(of("lan", "dmz", 6, 53), Some(false));
        assert_eq!(of("lan", "outside", 17, 9_999), Some(true));
        assert_eq!(of("guest rooms", "outside", 6, 443), Some(true));
        assert_eq!(of("guest rooms", "lan", 6, 443), Some(false));
        assert_eq!(of("dmz", "lan", 6, 443), Some(false));
        // Nobody said what the outside or servers may; within a segment all may talk.
        assert_eq!(of("outside", "dmz", 6, 22), None);
        assert_eq!(of("servers", "lan", 6, 22), None);
        assert_eq!(of("lan", "lan", 6, 22), None);
        assert_eq!(of("lan", "", 6, 22), None);
    }

    #[test]
    fn a_line_that_is_not_understood_says_what_is_missing() {
        for (text, says) in [
            ("lan dmz: 80", "no '>'"),
            ("lan > dmz 80", "no ':'"),
            ("lan > : 80", "a name is missing"),
            ("lan > dmz:", "no services"),
            ("lan > dmz: http", "'http'"),
            ("lan > dmz: 70000", "'70000'"),
            ("lan > dmz: sctp/5", "'sctp/5'"),
        ] {
            let error = Line::parse(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
