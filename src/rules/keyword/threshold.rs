//! `threshold` and `detection_filter`: how many matches make an alert.

use super::{Keyword, Value, parts};
use crate::rules::draft::Draft;
use crate::rules::ir::{Threshold, ThresholdKind, ThresholdTrack, UniqueOn};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "threshold",
        doc: "limit alerts: type limit | threshold | both | backoff, track by_src | by_dst | by_both | by_rule | by_flow, count, seconds | multiplier",
        example: "threshold:type limit, track by_src, count 1, seconds 60;",
        parse: threshold,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "detection_filter",
        doc: "alert only after so many matches in a time: track by_src | by_dst | by_flow | by_rule | by_both, count, seconds",
        example: "detection_filter:track by_src, count 20, seconds 10;",
        parse: detection_filter,
        ..Keyword::PLAIN
    },
];

/// The parts of a threshold.
#[derive(Default)]
struct Read<'a> {
    kind: Option<&'a str>,
    track: Option<&'a str>,
    count: Option<u32>,
    seconds: Option<u32>,
    multiplier: Option<u32>,
    unique: Option<&'a str>,
}

fn read(text: &str) -> Result<Read<'_>, String> {
    let mut all = Read::default();
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("\"{text}\" is not a number"))
    };
    for part in parts(text) {
        let (name, value) = part
            .split_once([' ', '\t'])
            .map(|(n, v)| (n, v.trim()))
            .ok_or_else(|| format!("\"{part}\" has no value"))?;
        let twice = match name {
            "type" => all.kind.replace(value).is_some(),
            "track" => all.track.replace(value).is_some(),
            "count" => all.count.replace(number(value)?).is_some(),
            "seconds" => all.seconds.replace(number(value)?).is_some(),
            "multiplier" => all.multiplier.replace(number(value)?).is_some(),
            "unique_on" => all.unique.replace(value).is_some(),
            other => return Err(format!("\"{other}\" is not one of its parts")),
        };
        if twice {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(all)
}

fn track(text: Option<&str>) -> Result<ThresholdTrack, String> {
    Ok(match text.ok_or("track is missing")? {
        "by_src" => ThresholdTrack::Source,
        "by_dst" => ThresholdTrack::Destination,
        "by_both" => ThresholdTrack::Both,
        "by_rule" => ThresholdTrack::Rule,
        "by_flow" => ThresholdTrack::Flow,
        other => {
            return Err(format!(
                "\"{other}\" is not by_src, by_dst, by_both, by_rule or by_flow"
            ));
        }
    })
}

fn put(draft: &mut Draft<'_>, threshold: Threshold) -> Result<(), String> {
    if draft.signature.threshold.replace(threshold).is_some() {
        return Err("a rule has one threshold or detection_filter".into());
    }
    Ok(())
}

fn threshold(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let all = read(value.text)?;
    let kind = match all.kind.ok_or("type is missing")? {
        "limit" => ThresholdKind::Limit,
        "threshold" => ThresholdKind::Threshold,
        "both" => ThresholdKind::Both,
        "backoff" => ThresholdKind::Backoff,
        other => {
            return Err(format!(
                "\"{other}\" is not limit, threshold, both or backoff"
            ));
        }
    };
    let track = track(all.track)?;
    let count = all.count.ok_or("count is missing")?;
    if all.unique.is_some() {
        return Err("unique_on goes with detection_filter".into());
    }
    let (seconds, multiplier) = match (kind, all.seconds, all.multiplier) {
        (ThresholdKind::Backoff, None, Some(multiplier)) => {
            if track != ThresholdTrack::Flow {
                return Err("type backoff goes with track by_flow".into());
            }
            if !(1..65_536).contains(&count) || !(2..65_536).contains(&multiplier) {
                return Err(
                    "backoff takes a count of 1 to 65,535 and a multiplier of 2 to 65,535".into(),
                );
            }
            (0, multiplier)
        }
        (ThresholdKind::Backoff, ..) => {
            return Err("type backoff takes count and multiplier, not seconds".into());
        }
        (_, Some(seconds), None) => (seconds, 0),
        _ => return Err("count and seconds are needed".into()),
    };
    put(
        draft,
        Threshold {
            kind,
            track,
            count,
            seconds,
            multiplier,
            unique: None,
        },
    )
}

fn detection_filter(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let all = read(value.text)?;
    if all.kind.is_some() || all.multiplier.is_some() {
        return Err("takes track, count, seconds and unique_on".into());
    }
    let count = all
        .count
        .filter(|c| *c > 0)
        .ok_or("count is missing or zero")?;
    let seconds = all
        .seconds
        .filter(|s| *s > 0)
        .ok_or("seconds is missing or zero")?;
    let unique = match all.unique {
        None => None,
        Some("src_port") => Some(UniqueOn::SourcePort),
        Some("dst_port") => Some(UniqueOn::DestinationPort),
        Some(other) => {
            return Err(format!(
                "unique_on: \"{other}\" is neither src_port nor dst_port"
            ));
        }
    };
    let track = track(all.track)?;
    put(
        draft,
        Threshold {
            kind: ThresholdKind::DetectionFilter,
            track,
            count,
            seconds,
            multiplier: 0,
            unique,
        },
    )
}
