//! `dataset` and `datarep`: values in sets that come from files, and that rules may change.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Keyword, Value, parts};
use crate::alert::DatasetChange;
use crate::rules::dataset::{Dataset, DatasetFormat, DatasetInfo, DatasetKind, check_name, size};
use crate::rules::draft::Draft;
use crate::rules::ir::{Compare, DatasetOperation, DatasetTest, Test};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "dataset",
        doc: "the buffer is in a set (isset), is not (isnotset), becomes one of it (set), or leaves it (unset): name, \
              type string | md5 | sha256 | ipv4 | ip, load | save | state FILE, memcap, hashsize, match subdomain; \
              format json | ndjson with context_key, value_key, array_key, remove_key",
        example: "alert dns any any -> any any (dns.query; dataset:set,seen,type string,memcap 1mb; sid:1;)",
        parse: dataset,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "datarep",
        doc: "the buffer is in a set, with a reputation of: name, > | < | ==, value, load FILE, type …",
        example: "",
        parse: datarep,
        ..Keyword::PLAIN
    },
];

/// What stands behind the fixed words of either keyword.
#[derive(Default)]
struct Options<'a> {
    kind: Option<DatasetKind>,
    load: Option<&'a str>,
    save: Option<&'a str>,
    state: Option<&'a str>,
    memcap_bytes: Option<u64>,
    format: Option<&'a str>,
    context: Option<&'a str>,
    value: Option<&'a str>,
    array: Option<&'a str>,
    remove: bool,
    subdomain: bool,
}

fn options<'a>(words: impl Iterator<Item = &'a str>) -> Result<Options<'a>, String> {
    let mut all = Options::default();
    for word in words.filter(|w| !w.is_empty()) {
        let (name, value) = match word.split_once([' ', '\t']) {
            Some((name, value)) => (name, value.trim()),
            None => (word, ""),
        };
        if value.is_empty() != (name == "remove_key") {
            return Err(format!("\"{word}\" is not an option with its value"));
        }
        let once = |known: Option<&str>| match known {
            Some(_) => Err(format!("{name} is there twice")),
            None => Ok(Some(value)),
        };
        match name {
            "type" => {
                let kind = DatasetKind::from_name(value);
                all.kind = Some(kind.ok_or_else(|| format!("\"{value}\" is not a type of sets"))?);
            }
            "load" => all.load = once(all.load)?,
            "save" => all.save = once(all.save)?,
            "state" => all.state = once(all.state)?,
            "memcap" => {
                let bytes = size(value).ok_or_else(|| format!("\"{value}\" is not a size"))?;
                all.memcap_bytes = Some(bytes).filter(|b| *b > 0);
            }
            // Tables grow by themselves.
            "hashsize" => {
                size(value).ok_or_else(|| format!("\"{value}\" is not a size"))?;
            }
            "format" => all.format = once(all.format)?,
            "context_key" => {
                if !value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                {
                    return Err("context_key has letters, digits and _ only".into());
                }
                all.context = Some(value);
            }
            "value_key" => all.value = Some(value),
            "array_key" => all.array = Some(value),
            "remove_key" => all.remove = true,
            "match" if value == "subdomain" => all.subdomain = true,
            _ => return Err(format!("\"{word}\" is not an option of sets")),
        }
    }
    if all.state.is_some() && (all.load.is_some() || all.save.is_some()) {
        return Err("state stands for load and save, and cannot stand beside them".into());
    }
    Ok(all)
}

fn dataset(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let change = match words.next().unwrap_or_default() {
        "isset" => DatasetChange::IsSet,
        "isnotset" => DatasetChange::IsNotSet,
        "set" => DatasetChange::Set,
        "unset" => DatasetChange::Unset,
        other => return Err(format!("\"{other}\" is not isset, isnotset, set or unset")),
    };
    let name = words.next().unwrap_or_default();
    let options = options(words)?;
    let changes = matches!(change, DatasetChange::Set | DatasetChange::Unset);
    let format = format(&options)?;
    if options.subdomain && (changes || options.kind != Some(DatasetKind::String)) {
        return Err("match subdomain needs isset or isnotset, and type string".into());
    }
    if format != DatasetFormat::Lines && changes {
        return Err("a set of objects cannot be changed".into());
    }
    let test = DatasetTest {
        set: set(draft, name, &options, format)?,
        operation: DatasetOperation::Change(change),
        subdomain: options.subdomain,
        context: options.context.map(Arc::from),
    };
    match change {
        DatasetChange::Set => test.set.note_set(),
        DatasetChange::Unset => test.set.note_unset(),
        _ => {}
    }
    draft.test(Test::Dataset(test))
}

fn datarep(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let name = words.next().unwrap_or_default();
    let operator = words.next().unwrap_or_default();
    let number = words.next().unwrap_or_default();
    let number: u16 = number
        .parse()
        .map_err(|_| format!("\"{number}\" is not a reputation, 0 to 65535"))?;
    let wanted = match operator {
        ">" => Compare::Greater(number.into()),
        "<" => Compare::Less(number.into()),
        "==" => Compare::Equal(number.into()),
        other => return Err(format!("\"{other}\" is not >, < or ==")),
    };
    let options = options(words)?;
    let test = DatasetTest {
        set: set(draft, name, &options, DatasetFormat::Lines)?,
        operation: DatasetOperation::Reputation(wanted),
        subdomain: false,
        context: None,
    };
    draft.test(Test::Dataset(test))
}

fn format(options: &Options<'_>) -> Result<DatasetFormat, String> {
    let key = || {
        if options.context.is_none() {
            return Err("a set of objects needs context_key");
        }
        let value = options.value.ok_or("a set of objects needs value_key")?;
        Ok(value.to_owned())
    };
    let format = match options.format {
        None | Some("csv") => return Ok(DatasetFormat::Lines),
        Some("json") => DatasetFormat::Json {
            value: key()?,
            array: options.array.unwrap_or_default().to_owned(),
            remove: options.remove,
        },
        Some("ndjson" | "jsonline") => DatasetFormat::JsonLines {
            value: key()?,
            remove: options.remove,
        },
        Some(other) => return Err(format!("\"{other}\" is not csv, json or ndjson")),
    };
    if options.save.is_some() || options.state.is_some() {
        return Err("a set of objects is not written".into());
    }
    Ok(format)
}

/// The set of a name: known already, or loaded now.
fn set(
    draft: &mut Draft<'_>,
    name: &str,
    options: &Options<'_>,
    format: DatasetFormat,
) -> Result<Arc<Dataset>, String> {
    check_name(name)?;
    if draft.sticky_name().is_none() {
        return Err("needs a sticky buffer before it".into());
    }
    let settings = &draft.context.data.datasets;
    let save = options.save.or(options.state);
    let save = save.map(|file| settings.save_path(file)).transpose()?;
    let load = match (options.load, options.state) {
        (Some(file), _) => Some(draft.context.folder.join(file)),
        (None, Some(_)) => save.clone(),
        (None, None) => None,
    };
    let info = DatasetInfo {
        name: name.to_owned(),
        kind: options.kind.unwrap_or_default(),
        load,
        save,
        memcap_bytes: options.memcap_bytes.unwrap_or(settings.memcap_bytes),
        format,
        configured: false,
    };
    if let Some(known) = draft.context.datasets.get(&name.to_ascii_lowercase()) {
        let same = |mine: &Option<PathBuf>, theirs: &Option<PathBuf>| {
            (info.load.is_none() && info.save.is_none()) || mine == theirs
        };
        if options.kind.is_some_and(|kind| kind != known.info.kind) {
            return Err(format!("the set {name} has another type"));
        }
        if !same(&info.load, &known.info.load) || !same(&info.save, &known.info.save) {
            return Err(format!("the set {name} has other files"));
        }
        let objects = |format: &DatasetFormat| *format != DatasetFormat::Lines;
        if objects(&info.format) && !objects(&known.info.format) {
            return Err(format!("the set {name} is not one of objects"));
        }
        return Ok(known.clone());
    }
    if options.kind.is_none() {
        return Err(format!("the set {name} is not known yet, and has no type"));
    }
    draft.context.dataset(info)
}

#[cfg(test)]
mod tests {
    use crate::rules::{Variables, load_text};

    #[test]
    fn sets_are_named_once_and_used_by_name() {
        let text = "alert dns any any -> any any (dns.query; dataset:set,seen, type string, memcap 10mb, hashsize 100; sid:1;)
alert dns any any -> any any (dns.query; dataset:isset,SEEN; sid:2;)
alert dns any any -> any any (dns.query; dataset:isset,seen,type md5; sid:3;)
alert dns any any -> any any (dns.query; dataset:isset,other; sid:4;)
alert dns any any -> any any (dns.query; dataset:set,new,type string,state /etc/x; sid:5;)
alert dns any any -> any any (dns.query; dataset:set,new,type string,state a,load b; sid:6;)
alert dns any any -> any any (content:\"x\"; dataset:isset,seen; sid:7;)
alert dns any any -> any any (dns.query; dataset:set,o,type string,format json,context_key c,value_key v; sid:8;)
alert dns any any -> any any (dns.query; datarep:seen,>,200; sid:9;)
alert dns any any -> any any (dns.query; datarep:seen,>,70000; sid:10;)\n";
        let rules = load_text("sets.rules", text, &Variables::default());
        let wrong: Vec<u32> = rules.errors.iter().map(|e| e.line).collect();
        assert_eq!(wrong, [3, 4, 5, 6, 7, 8, 10], "{:?}", rules.errors);
        assert_eq!(rules.datasets.len(), 1);
        assert!(rules.datasets[0].changes() && !rules.datasets[0].shrinks());
    }
}
