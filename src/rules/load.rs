//! Loading: files, folders and patterns of file names into one [`RuleSet`], with everything that was refused and why.
//!
//! A rule that is refused does not stop the others. The same gid and sid twice: the higher revision stays, as rule
//! writers publish updates in the order they like; the other one is an error that names both places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::classification::Classes;
use super::context::{Context, DataSettings};
use super::ir::{RuleError, RuleSet, Sid};
use super::lexer::Lines;
use super::parser::{Parsed, parse};
use super::signatures::Place;
use super::variables::Variables;

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct LoadSettings {
    /// Rule files, folders (their `*.rules`, in order of names), or patterns with `*` and `?` in the file name.
    pub paths: Vec<PathBuf>,
    /// Variables in force.
    pub variables: Variables,
    /// `classification.config`, added to the classes that are built in.
    pub classification: Option<PathBuf>,
    /// `reference.config`, added to the systems that are built in.
    pub reference: Option<PathBuf>,
    /// Do not compile expressions to see whether they are valid (they are known to be).
    pub trust_expressions: bool,
    /// Other files that rules ask about.
    pub data: DataSettings,
}

/// Why nothing could be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// The file or pattern.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for LoadError {}

/// The files of a load: what its rules are made of, besides variables and the values of data sets.
#[derive(Debug, Default)]
pub struct RuleFiles {
    /// Rule files in order: path and bytes.
    rules: Vec<(PathBuf, Vec<u8>)>,
    classification: Option<Vec<u8>>,
    reference: Option<Vec<u8>>,
}

impl RuleFiles {
    /// Everything in them, each piece with its name, to tell one state of the files from another.
    pub fn pieces(&self) -> impl Iterator<Item = (String, &[u8])> {
        let others = [
            ("classification", &self.classification),
            ("reference", &self.reference),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, bytes)| Some((name.to_owned(), bytes.as_deref()?)));
        let rules = self.rules.iter();
        others.chain(rules.map(|(path, bytes)| (path.display().to_string(), bytes.as_slice())))
    }

    /// The texts of the rule files.
    pub(super) fn into_texts(self) -> Vec<Vec<u8>> {
        self.rules.into_iter().map(|(_, bytes)| bytes).collect()
    }
}

/// Loads rules. Errors of single rules are in [`RuleSet::errors`]; files that cannot be read are an error here, all of
/// them at once.
pub fn load(settings: &LoadSettings) -> Result<RuleSet, Vec<LoadError>> {
    Ok(load_files(settings, &read_files(settings)?))
}

/// Reads the files of a load.
pub fn read_files(settings: &LoadSettings) -> Result<RuleFiles, Vec<LoadError>> {
    let mut errors = Vec::new();
    let mut files = RuleFiles::default();
    let mut read = |path: &Path| match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            errors.push(LoadError {
                path: path.to_path_buf(),
                why: why.to_string(),
            });
            None
        }
    };
    files.classification = settings.classification.as_deref().and_then(&mut read);
    files.reference = settings.reference.as_deref().and_then(&mut read);
    let mut unknown = Vec::new();
    for pattern in &settings.paths {
        match expand(pattern) {
            Ok(paths) => {
                for path in paths {
                    if let Some(bytes) = read(&path) {
                        files.rules.push((path, bytes));
                    }
                }
            }
            Err(why) => unknown.push(LoadError {
                path: pattern.clone(),
                why,
            }),
        }
    }
    errors.append(&mut unknown);
    if errors.is_empty() {
        Ok(files)
    } else {
        Err(errors)
    }
}

/// Loads the rules of files that were read.
pub fn load_files(settings: &LoadSettings, files: &RuleFiles) -> RuleSet {
    let mut classes = Classes::default();
    let mut lines = Vec::new();
    if let (Some(path), Some(bytes)) = (&settings.classification, &files.classification) {
        let wrong = classes.read_classes(bytes).into_iter();
        lines.extend(wrong.map(|(line, why)| (path, line, why)));
    }
    if let (Some(path), Some(bytes)) = (&settings.reference, &files.reference) {
        let wrong = classes.read_references(bytes).into_iter();
        lines.extend(wrong.map(|(line, why)| (path, line, why)));
    }
    let mut context = Context::new(settings.variables.clone(), classes);
    context.trust_expressions = settings.trust_expressions;
    for (path, line, why) in lines {
        let file = path.display().to_string();
        context.set.errors.push(RuleError {
            file,
            line,
            sid: None,
            message: why,
        });
    }
    context.data = settings.data.clone();
    for declared in &settings.data.datasets.declared {
        let loaded = settings.data.datasets.info(declared);
        if let Err(why) = loaded.and_then(|info| context.dataset(info)) {
            context.set.errors.push(RuleError {
                file: "configuration".to_owned(),
                line: 0,
                sid: None,
                message: format!("dataset {}: {why}", declared.name),
            });
        }
    }
    let mut places = HashMap::default();
    for (path, bytes) in &files.rules {
        read(&mut context, &mut places, path, bytes);
    }
    close(context)
}

/// Loads rules from memory, under a name for messages.
pub fn load_text(name: &str, text: &str, variables: &Variables) -> RuleSet {
    let mut context = Context::new(variables.clone(), Classes::default());
    read(
        &mut context,
        &mut HashMap::default(),
        Path::new(name),
        text.as_bytes(),
    );
    close(context)
}

/// Place of a signature by gid and sid.
type Places = HashMap<(u32, Sid), usize, foldhash::fast::FixedState>;

/// Reads one file's rules.
fn read(context: &mut Context, places: &mut Places, path: &Path, bytes: &[u8]) {
    let name = path.display().to_string();
    let file = u16::try_from(context.set.files.len()).unwrap_or(u16::MAX);
    context.set.files.push(name.clone());
    context.folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    // ET's rules have about 860 bytes each; a good guess saves moving the list again and again.
    context.set.signatures.reserve(bytes.len() / 900);
    let mut lines = Lines::new(bytes);
    loop {
        let start = lines.offset(bytes);
        let Some(line) = lines.next() else { break };
        let end = lines.offset(bytes);
        let error = |sid, message| RuleError {
            file: name.clone(),
            line: line.number,
            sid,
            message,
        };
        let outcome = parse(context, &line.text, (file, line.number));
        match outcome {
            Ok(Parsed::Signature(signature)) => {
                let sid = Some(signature.sid);
                for note in std::mem::take(&mut context.notes) {
                    context.set.warnings.push(error(sid, note));
                }
                let key = (signature.gid, signature.sid);
                let place = Place {
                    file,
                    line: line.number,
                    start,
                    end,
                    name: (signature.gid, signature.sid.0, signature.rev),
                };
                let Some(&at) = places.get(&key) else {
                    places.insert(key, context.set.signatures.len());
                    context.set.signatures.push(*signature, place);
                    continue;
                };
                let Some(known) = context.set.signatures.get(at) else {
                    continue;
                };
                let where_known = format!(
                    "{}:{}",
                    context
                        .set
                        .files
                        .get(usize::from(known.origin.0))
                        .map_or("", |f| f),
                    known.origin.1
                );
                if signature.rev > known.rev {
                    let message = format!("sid: replaces revision {} at {where_known}", known.rev);
                    context.set.signatures.replace(at, *signature, place);
                    context.set.warnings.push(error(sid, message));
                } else {
                    let message = format!(
                        "sid: already loaded with revision {} from {where_known}",
                        known.rev
                    );
                    context.set.errors.push(error(sid, message));
                }
            }
            Ok(Parsed::Skipped(sid, why)) => context.set.skipped.push(error(sid, why)),
            Err(refused) => {
                context.notes.clear();
                context.set.errors.push(error(refused.sid, refused.message));
            }
        }
    }
}

/// Numbers the signatures, and looks over the whole.
fn close(context: Context) -> RuleSet {
    let Context {
        mut set,
        classes,
        bits,
        ints,
        xbits,
        bits_set,
        bits_tested,
        ..
    } = context;
    set.signatures.close();
    set.classes = classes.list;
    set.reference_systems = classes.references;
    let mut untold: Vec<_> = bits_tested
        .into_iter()
        .filter(|(bit, _)| !bits_set.contains(bit))
        .collect();
    untold.sort_unstable_by_key(|(_, place)| *place);
    for (bit, (file, line, sid)) in untold {
        let name = bits
            .list
            .get(usize::try_from(bit).unwrap_or(usize::MAX))
            .map_or("", |n| n);
        set.warnings.push(RuleError {
            file: set
                .files
                .get(usize::from(file))
                .cloned()
                .unwrap_or_default(),
            line,
            sid: Some(Sid(sid)),
            message: format!("flowbits: {name} is tested, and no rule sets it"),
        });
    }
    set.bit_names = bits.list;
    set.int_names = ints.list;
    set.xbit_names = xbits.list;
    set
}

/// The files that a path means: itself, the rules of a folder, or what a pattern of names matches.
fn expand(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.is_dir() {
        return list(path, "*.rules");
    }
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    if name.contains(['*', '?']) && !path.exists() {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let files = list(folder, name)?;
        return if files.is_empty() {
            Err("no file matches".into())
        } else {
            Ok(files)
        };
    }
    Ok(vec![path.to_path_buf()])
}

/// The files of a folder whose names match, in order.
fn list(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|why| why.to_string())?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| {
            path.is_file()
                && path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .is_some_and(|n| matches(pattern.as_bytes(), n.as_bytes()))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// Whether a name matches a pattern of `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last star, should the rest not match: one more byte of the name goes to the star.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(want) if want == byte || *want == b'?' => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    p = after;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        Action, Content, FlowStateOption, Number, PacketTest, PayloadScope, Signature,
        SignatureKind, Test, keyword,
    };

    fn load_all(text: &str) -> RuleSet {
        load_text("test.rules", text, &Variables::default())
    }

    /// The one signature of an option list in a TCP rule.
    fn one(options: &str) -> Signature {
        let set = load_all(&format!("alert tcp any any -> any any ({options} sid:1;)"));
        assert!(set.errors.is_empty(), "{options}: {:?}", set.errors);
        set.signatures.into_list().remove(0)
    }

    fn error(options: &str) -> String {
        let set = load_all(&format!("alert tcp any any -> any any ({options} sid:1;)"));
        assert_eq!(set.signatures.len(), 0, "{options} loads");
        set.errors[0].message.clone()
    }

    fn content(test: &Test) -> &Content {
        let Test::Content(content) = test else {
            panic!("{test:?}")
        };
        content
    }

    #[test]
    fn a_whole_rule_becomes_a_signature() {
        let set = load_all(
            "# a comment\n\
             drop udp [10.0.0.0/8,!10.1.0.0/16] 1024: -> $EXTERNAL_NET 53 (msg:\"a \\\"b\\\"\\; c\"; content:\"ab|20|c\"; nocase; \
             content:!\"x\"; distance:4; reference:url,example.com/a\\;b; metadata:k v, signature_severity Major; \
             metadata:more; classtype:trojan-activity; sid:7; rev:3; gid:2; threshold:type limit, track by_src, count 1, seconds 60;)\n",
        );
        assert_eq!(set.errors, []);
        let s = &set.signatures[0];
        assert_eq!((s.sid, s.rev, s.gid, s.origin), (Sid(7), 3, 2, (0, 2)));
        assert_eq!(&*s.msg, "a \"b\"; c");
        assert_eq!(s.action, Action::Drop);
        assert_eq!(s.priority, 1);
        assert_eq!(s.metadata.value("signature_severity"), Some("Major"));
        assert_eq!(s.metadata.iter().count(), 3);
        assert_eq!(
            s.references.iter().collect::<Vec<_>>(),
            [("url", "example.com/a\\;b")]
        );
        let tests = &s.groups[0].tests;
        assert_eq!(content(&tests[0]).bytes, b"ab c");
        assert!(content(&tests[0]).nocase && content(&tests[1]).negate);
        assert_eq!(content(&tests[1]).distance, Some(Number::Fixed(4)));
        assert_eq!(s.fast.as_ref().map(|f| &f.bytes[..]), Some(&b"ab c"[..]));
        assert_eq!(s.kind, SignatureKind::Packet);
    }

    #[test]
    fn scope_and_kind_follow_from_the_tests() {
        let see = |options: &str| {
            let s = one(options);
            (s.scope, s.kind)
        };
        assert_eq!(
            see(r#"content:"a";"#),
            (PayloadScope::Stream, SignatureKind::Stream)
        );
        assert_eq!(
            see(r#"content:"a"; depth:9;"#),
            (PayloadScope::Both, SignatureKind::PacketAndStream)
        );
        assert_eq!(
            see(r#"content:"a"; dsize:9;"#),
            (PayloadScope::Packet, SignatureKind::Packet)
        );
        assert_eq!(see("flags:S;").1, SignatureKind::Packet);
        assert_eq!(see("").1, SignatureKind::IpOnly);
        assert_eq!(see("flowbits:set,a;").1, SignatureKind::IpOnly);
        assert_eq!(see("flowbits:isset,a;").1, SignatureKind::Packet);
        assert_eq!(
            see("app-layer-protocol:failed;").1,
            SignatureKind::ProtocolDetected
        );
        let set = load_all("alert pkthdr any any -> any any (decode-event:ipv4.trunc_pkt; sid:1;)");
        assert_eq!(set.signatures[0].kind, SignatureKind::DecodeEvent);
        for negated in ["!10.0.0.1", "$EXTERNAL_NET"] {
            let set = load_all(&format!("alert ip {negated} any -> any any (sid:1;)"));
            assert_eq!(set.signatures[0].kind, SignatureKind::IpOnlyEveryPacket);
        }
    }

    #[test]
    fn modifiers_speak_of_the_last_content() {
        let s = one(
            r#"content:"abc"; offset:2; depth:5; content:"def"; within:10; distance:-1; content:"g"; startswith; endswith;"#,
        );
        let tests = &s.groups[0].tests;
        assert_eq!(
            (content(&tests[0]).offset, content(&tests[0]).depth),
            (Some(Number::Fixed(2)), Some(Number::Fixed(5)))
        );
        assert_eq!(
            (content(&tests[1]).within, content(&tests[1]).distance),
            (Some(Number::Fixed(10)), Some(Number::Fixed(-1)))
        );
        assert!(content(&tests[2]).starts && content(&tests[2]).ends);
    }

    #[test]
    fn no_byte_after_a_content_is_endswith() {
        let s = one(r#"content:"abc"; isdataat:!1,relative;"#);
        assert_eq!(s.groups[0].tests.len(), 1);
        assert!(content(&s.groups[0].tests[0]).ends);
    }

    #[test]
    fn variables_are_slots() {
        let s = one(
            r#"byte_extract:2,0,len; byte_math:bytes 1, offset 2, oper *, rvalue len, result all; content:"a"; depth:all;"#,
        );
        assert_eq!(s.variable_names, ["len", "all"]);
        assert_eq!(
            content(&s.groups[0].tests[2]).depth,
            Some(Number::Variable(1))
        );
        assert!(error(r#"content:"a"; depth:len;"#).contains("len"));
    }

    #[test]
    fn an_explicit_fast_pattern_is_followed_and_chopped() {
        let s = one(
            r#"content:"quite a long and rare 8x#q content"; content:"HTTP/1.1"; offset:4; fast_pattern:5,3;"#,
        );
        let fast = s.fast.unwrap();
        assert_eq!(fast.bytes, b"1.1");
        assert_eq!(fast.bounds, Some((9, u32::MAX)));
    }

    #[test]
    fn headers_are_buffers() {
        let s = one(r#"tcp.hdr; content:"|01|"; pkt_data; content:"a"; tcp.hdr; content:"|02|";"#);
        assert_eq!(s.groups.len(), 2);
        assert_eq!(s.groups[0].tests.len(), 2);
        assert_eq!(s.kind, SignatureKind::Packet);
    }

    #[test]
    fn transforms_make_a_buffer_of_their_own() {
        let set = load_all(
            r#"alert tcp any any -> any any (tcp.hdr; to_lowercase; dotprefix; content:"a"; tcp.hdr; content:"b"; sid:1;)"#,
        );
        assert_eq!(set.errors, []);
        assert_eq!(set.signatures[0].groups.len(), 2);
        assert_eq!(
            set.buffers[usize::from(set.signatures[0].groups[0].buffer.0)]
                .transforms
                .len(),
            2
        );
    }

    #[test]
    fn what_never_matches_or_contradicts_itself_is_refused() {
        for bad in [
            r#"content:"abc"; depth:2;"#,
            r#"content:"abc"; within:2;"#,
            r#"content:"abc"; offset:1; distance:1;"#,
            r#"content:"abc"; startswith; offset:1;"#,
            r#"nocase;"#,
            r#"content:"abc"; http_nothing;"#,
            r#"content:abc;"#,
            r#"content:"abc"; nocase:1;"#,
            r#"content:"abc"; fast_pattern; content:"def"; fast_pattern;"#,
            r#"content:!"abc"; offset:3; fast_pattern;"#,
            r#"content:"abcdef"; dsize:<4;"#,
            r#"tcp.hdr; content:"abcdef"; bsize:4;"#,
            r#"tcp.hdr;"#,
            r#"tcp.hdr; pkt_data; content:"a";"#,
            r#"tcp.hdr; absent; content:"a";"#,
            r#"flow:to_server,to_client;"#,
            r#"flow:established,not_established;"#,
            r#"flow:only_stream; dsize:4;"#,
            r#"flowbits:set;"#,
            r#"flowbits:isset,a; flowbits:isnotset,a;"#,
            r#"pcre:"/a/R";"#,
            r#"pcre:"/(/";"#,
            r#"pcre:"/a/q";"#,
            r#"byte_test:9,>,1,0;"#,
            r#"byte_test:4,>,1,0,dce,string;"#,
            r#"byte_jump:4,0,from_beginning,from_end;"#,
            r#"base64_data; content:"a";"#,
            r#"threshold:type limit, track by_src, count 1;"#,
            r#"itype:300;"#,
            r#"priority:0;"#,
            r#"classtype;"#,
            r#"sid:2;"#,
            r#"flowint:a,+;"#,
            r#"xbits:set,a;"#,
        ] {
            error(bad);
        }
    }

    #[test]
    fn errors_name_keyword_file_line_and_sid() {
        let set = load_all("\nalert tcp any any -> any any (contnt:\"a\"; sid:9;)\n");
        let e = &set.errors[0];
        assert_eq!(
            (e.file.as_str(), e.line, e.sid),
            ("test.rules", 2, Some(Sid(9)))
        );
        assert!(
            e.message.contains("contnt") && e.message.contains("content"),
            "{}",
            e.message
        );
        let set = load_all("alert tcp any any -> any any (msg:\"a\";)");
        assert!(set.errors[0].message.starts_with("sid"));
    }

    #[test]
    fn the_higher_revision_of_a_sid_stays() {
        let rule = |rev: u32| format!("alert ip any any -> any any (sid:1; rev:{rev};)\n");
        let set = load_all(&[rule(1), rule(3), rule(2)].concat());
        assert_eq!(set.signatures.len(), 1);
        assert_eq!(set.signatures[0].rev, 3);
        assert_eq!((set.warnings.len(), set.errors.len()), (1, 1));
    }

    #[test]
    fn requirements_skip_rules_without_an_error() {
        let set = load_all(
            "alert ip any any -> any any (requires: version < 4; no_such_keyword:x; sid:1;)",
        );
        assert_eq!((set.errors.len(), set.skipped.len()), (0, 1));
    }

    #[test]
    fn a_flowbit_that_nothing_sets_is_a_warning() {
        let set = load_all(
            "alert ip any any -> any any (flowbits:isset,a; sid:1;)\nalert ip any any -> any any (flowbits:set,b; sid:2;)",
        );
        assert_eq!(set.warnings.len(), 1);
        assert!(set.warnings[0].message.contains('a'));
        assert!(matches!(
            set.signatures[1].state[0],
            FlowStateOption::BitSet(1)
        ));
    }

    #[test]
    fn older_names_of_events_are_known() {
        let s = one("stream-event:est_synack_resend_with_different_ack;");
        assert!(matches!(s.packet[..], [PacketTest::Event(_)]));
    }

    #[test]
    fn keywords_that_are_absent_on_purpose_say_why() {
        assert!(error("lua:x.lua;").contains("scripts are not run"));
        assert!(error("geoip:src,RU;").contains("countries"));
    }

    #[test]
    fn both_directions_of_the_same_header_are_one() {
        let set =
            load_all("alert tcp any any <> any any (sid:1;)\nalert tcp any 1 <> any 2 (sid:2;)");
        assert!(!set.signatures[0].bidirectional && set.signatures[1].bidirectional);
    }

    #[test]
    fn packet_tests_keep_their_order() {
        let s = one("ttl:<5; flags:S,CE; window:!0;");
        assert!(matches!(
            s.packet[..],
            [
                PacketTest::Ttl(_),
                PacketTest::TcpFlags { ignore: 0xc0, .. },
                PacketTest::TcpWindow(_)
            ]
        ));
    }

    #[test]
    fn every_keyword_has_a_line_of_documentation_and_an_example_that_loads() {
        for k in keyword::GROUPS.iter().flat_map(|g| g.keywords) {
            assert!(!k.doc.is_empty(), "{}", k.name);
            let whole = ["alert ", "pass ", "config "]
                .iter()
                .any(|a| k.example.starts_with(a));
            let rule = if whole {
                k.example.to_owned()
            } else {
                format!("alert tcp any any -> any any ({} sid:1;)", k.example)
            };
            let set = load_all(&rule);
            // A protocol that the registry does not have (yet) is named; anything else is a fault of the example.
            let missing = set.errors.first().is_some_and(|e| {
                e.message.contains("not parsed") || e.message.contains("no protocol")
            });
            assert!(
                set.errors.is_empty() || missing,
                "{}: {:?}",
                k.name,
                set.errors
            );
        }
    }

    #[test]
    fn file_name_patterns_match_as_in_a_shell() {
        assert!(matches(b"*.rules", b"a.rules") && !matches(b"*.rules", b"a.rules.bak"));
        assert!(matches(b"a*b?c", b"axxbbyc") && !matches(b"a?c", b"ac"));
    }

    #[test]
    fn folders_and_patterns_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, sid) in [("b.rules", 2), ("a.rules", 1), ("c.txt", 3)] {
            std::fs::write(
                folder.path().join(name),
                format!("alert ip any any -> any any (sid:{sid};)"),
            )
            .unwrap();
        }
        let sids = |path: PathBuf| {
            let set = load(&LoadSettings {
                paths: vec![path],
                ..LoadSettings::default()
            })
            .unwrap();
            set.signatures.iter().map(|s| s.sid.0).collect::<Vec<_>>()
        };
        assert_eq!(sids(folder.path().to_path_buf()), [1, 2]);
        assert_eq!(sids(folder.path().join("?.txt")), [3]);
        assert!(
            load(&LoadSettings {
                paths: vec![folder.path().join("*.nope")],
                ..LoadSettings::default()
            })
            .is_err()
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut context = Context::default();
            let _ = parse(&mut context, &bytes, (0, 1));
            Lines::new(&bytes).count();
        }

        #[test]
        fn arbitrary_options_never_panic(options in "([a-z_.0-9]{1,14}(:[ -~]{0,24})?;){0,6}") {
            let _ = load_all(&format!("alert tcp any any -> any any ({options} sid:1;)"));
        }

        #[test]
        fn known_keywords_with_arbitrary_values_never_panic(picks in proptest::collection::vec((0..200_usize, "[ -~é]{0,30}"), 1..6)) {
            let all: Vec<&str> = keyword::GROUPS.iter().flat_map(|g| g.keywords).map(|k| k.name).collect();
            let options: String = picks.iter().map(|(at, value)| format!("{}:{value};", all[at % all.len()])).collect();
            let _ = load_all(&format!("alert http any any -> any any (content:\"a\"; {options} sid:1;)"));
        }
    }
}
