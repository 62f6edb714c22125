//! Keys of behavioural detectors: `detectors.NAME.SETTING`. Their defaults, units and sources stand with the settings of
//! each detector in `detect/anomaly`.
//!
//! A threshold by role takes one number for all roles, or three: `[edge, dmz, intranet]`.

use toml::Value;

use super::keys::{Key, count, number, share, show};
use crate::detect::anomaly::matrix;
use crate::detect::anomaly::place::ByRole;
use crate::detect::anomaly::policy::PolicySettings;

macro_rules! detector_keys {
    ($($field:ident $name:literal { $($key:ident $text:literal $read:ident $doc:literal;)* })*) => {
        &[$($(Key {
            name: concat!("detectors.", $name, ".", $text),
            doc: $doc,
            set: |config, value| {
                config.anomaly.$field.$key = $read(value)?;
                Ok(())
            },
            get: |config| show(&config.anomaly.$field.$key),
        },)*)*]
    };
}

/// All of them.
pub static DETECTOR_KEYS: &[Key] = detector_keys! {
    slow_http "slow-http" {
        stalled_min "stalled-min" by_role "stalled requests of one source at one service, by role";
        serious_min "serious-min" number "stalled requests at one service that are serious";
        serious_share "serious-share" number "percent of a service's connections that are serious";
        header_secs "header-secs" number "seconds after which a header that is not finished stalls";
        body_secs "body-secs" number "seconds over which a body is measured";
        body_rate_min "body-rate-min" number "bytes per second below which a body stalls";
        read_secs "read-secs" number "seconds with a window below a segment after which reading stalls";
        read_rate_min "read-rate-min" number "bytes per second below which reading stalls";
        slow_user_rate "slow-user-rate" number "bytes per second below which a user whom the path limits has a slow line";
        slow_users_share "slow-users-share" number "percent of a service's connections held by users of slow lines that are told as YELLOW";
        services "services" count "services with unfinished requests that are watched";
        clients "clients" count "clients with incidents";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    stray_flood "tcp-flood" {
        stray_per_sec "stray-per-sec" by_role "segments of no connection per second towards a destination over which there is an alarm, by role";
        stray_sources_min "stray-sources-min" number "such segments in a second that are a flood when nearly each has a source of its own";
        targets "targets" count "destinations watched for such segments";
    }
    p2p_behaviour "p2p" {
        networks_min "networks-min" number "networks called within five minutes, by behaviour";
        ports_min "ports-min" number "high ports among them";
        failed_percent "failed-percent" number "percent of the calls that fail, at least";
        exchange_min "exchange-min" number "peers with which 100 kB went each way";
        members "members" count "hosts watched by behaviour";
    }
    obfuscated "vpn-tor" {
        random_min "random-min" number "connections of a client to one place that begin at random";
        others_max "others-max" number "clients of ours from which a place is no longer rare";
        much_mib "much-mib" number "MiB of a connection that are much";
        long_secs "long-secs" number "seconds of a connection that are long";
        places "places" count "clients with places watched for obfuscated tunnels";
    }
    worm_scan "worm-scan" {
        alpha "alpha" share "false alarms per tested host";
        hosts_min "hosts-min" by_role "failed hosts on a port that worms use, by role";
        other_hosts_min "other-hosts-min" number "failed hosts on any other port";
        answer_ms "answer-ms" number "milliseconds without an answer after which a first contact has failed";
        chain_secs "chain-secs" number "seconds between being reached and scanning that make an infection";
        half_life_secs "half-life-secs" number "seconds in which a score halves";
        hosts "hosts" count "hosts watched";
        peers_bytes "peers-bytes" count "bytes of each generation of the filter of known pairs";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    password_spray "password-spray" {
        accounts_min "accounts-min" by_role "accounts of one source that failed, by role";
        sources_min "sources-min" by_role "sources that failed at one service, by role";
        tries_max "tries-max" number "tries per account or source above which it is ordinary guessing";
        failed_share_min "failed-share-min" share "share of failures among logins, at least";
        window_secs "window-secs" number "seconds of the window";
        sources "sources" count "sources watched, and services watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    beacon "beacon" {
        intervals_min "intervals-min" number "intervals without which timing says nothing";
        core_min "core-min" share "share of the intervals near their median, at least";
        odds_min "odds-min" amount "sum of log odds that is an alert";
        interval_min_secs "interval-min-secs" number "shortest median interval in seconds";
        hosts_min "hosts-min" number "our hosts that must have been seen before rarity counts in full";
        learn_secs "learn-secs" number "seconds that must have been seen before novelty counts in full";
        pairs "pairs" count "pairs watched";
        destinations "destinations" count "destinations known";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    arp_spoof "arp-spoof" {
        score_min "score-min" amount "score at which contradicting claims are an attack";
        score_off "score-off" amount "score below which an incident may close";
        half_life_secs "half-life-secs" number "seconds in which a score halves";
        answer_secs "answer-secs" number "seconds for which an answer to a question is expected";
        alive_secs "alive-secs" number "seconds for which an owner counts as alive after its last claim";
        addresses "addresses" count "addresses known";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    rogue_server "rogue-server" {
        offers_min "offers-min" number "answers of a strange DHCP server";
        adverts_min "adverts-min" number "pairs of router and prefix in ten seconds that are a flood";
        routers_min "routers-min" number "advertisements of one strange router";
        answers_min "answers-min" number "second, differing answers to one DNS question within ten minutes";
        strangers "strangers" count "strange servers watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    spoofed "spoofed" {
        packets_min "packets-min" by_role "packets in a minute that are an alert, by role";
        undeclared_min "undeclared-min" number "packets in a minute where no segment is declared";
        serious_min "serious-min" number "packets in a minute that make it serious inside";
        flags_min "flags-min" number "packets with illegal flags in a minute, at least";
        sources_min "sources-min" number "foreign sources of one hardware address in a minute";
        links "links" count "links watched, times reasons";
        senders "senders" count "hardware addresses known";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    session_exhaustion "session-exhaustion" {
        per_source_max "per-source-max" by_role "connections of one source to one service at a time, by role";
        capacity "capacity" by_role "connections that a service is taken to bear, by role";
        exhaustion_secs "exhaustion-secs" number "seconds to exhaustion below which it is an alert";
        services "services" count "services watched";
        sources "sources" count "clients watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    successive_clicks "successive-clicks" {
        reloads_min "reloads-min" by_role "reloads of one page within ten seconds (at most 16), by role";
        reloads_off "reloads-off" number "reloads of one page within ten seconds that keep an incident open";
        crowd_min "crowd-min" number "identities that hammer one page at a time: a crowd";
        identities "identities" count "identities watched";
        pages "pages" count "pages watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    exfiltration "exfiltration" {
        mib_min "mib-min" by_role "MiB to one destination within an hour, by role; 0: off";
        serious_mib "serious-mib" by_role "MiB from which it is serious, by role";
        ratio_min "ratio-min" number "bytes sent per byte received, at least";
        usual_times "usual-times" number "times the largest usual hour of the host";
        hours_days "hours-days" number "days with uploads of a host after which its hours are known";
        long_secs "long-secs" number "seconds from which a connection is long and all that it sent to a new place counts; 0: off";
        odd_hour_percent "odd-hour-percent" number "percent of the limit that is enough at an hour at which it never uploads";
        flows "flows" count "flows watched at a time";
        pairs "pairs" count "pairs watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    irc_bot "irc-bot" {
        score_min "score-min" number "score at which a client is a bot";
        answer_ms "answer-ms" number "milliseconds after an order within which a line is an answer to it";
        clients "clients" count "clients watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    storm "storm" {
        frames_per_sec "frames-per-sec" by_role "frames to everybody per second, by role";
        repeats_min "repeats-min" number "the same frame so often within a second is a loop";
        links "links" count "links watched";
        frames "frames" count "frames remembered for a second";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    reflector "reflector" {
        answers_min "answers-min" by_role "large answers to one client within ten seconds, by role";
        ratio_min "ratio-min" number "bytes of an answer per byte of its question";
        pairs "pairs" count "pairs watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    policy "policy" {
        learn_secs "learn-secs" number "seconds of traffic that are learned from";
        services "services" services "services of ours that are allowed: address:port or *:port";
        paths "paths" paths "which segment may talk to which, by service: lan > dmz: 80 443 udp/123";
        certificate_days "certificate-days" number "days before the end of a certificate from which it is told";
        breaches "breaches" count "breaches watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    queue_stall "queue-stall" {
        waiting_min "waiting-min" by_role "requests that wait too long at a time, by role";
        wait_ms "wait-ms" number "milliseconds that are too long whatever is usual";
        usual_times "usual-times" number "times the usual time of an answer that are too long";
        answers_min "answers-min" number "answers without which the usual time is not known";
        hurt_ms "hurt-ms" number "milliseconds of waiting after which the service counts as hurt";
        services "services" count "services watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
    service_trouble "service-trouble" {
        silent_secs "silent-secs" number "seconds of silence";
        crowd_secs "crowd-secs" number "seconds of silence when at least ten clients ask again and again";
        down_secs "down-secs" number "seconds of silence after which the service counts as down";
        clients_min "clients-min" number "clients that ask in vain";
        attempts_min "attempts-min" number "attempts in vain, retries included";
        servfail_min "servfail-min" number "SERVFAIL answers in a minute";
        names_min "names-min" number "distinct names among them";
        exceeded_min "exceeded-min" number "hop limits exceeded at one router in ten seconds";
        services "services" count "services watched";
        off_secs "off-secs" number "quiet seconds that close an incident";
    }
};

/// Whether a key is the size of a detector's table, which is fixed at the start.
pub fn is_table_size(key: &str) -> bool {
    const SIZES: [&str; 21] = [
        "addresses",
        "breaches",
        "campaigns",
        "clients",
        "destinations",
        "domains",
        "flows",
        "frames",
        "hosts",
        "identities",
        "links",
        "members",
        "pages",
        "pairs",
        "places",
        "peers-bytes",
        "senders",
        "services",
        "sources",
        "strangers",
        "targets",
    ];
    let name = key.rsplit('.').next().unwrap_or_default();
    key.starts_with("detectors.") && SIZES.contains(&name) && key != "detectors.policy.services"
}

/// Services as `address:port` or `*:port`, in a list or separated by commas.
fn services(value: &Value) -> Result<Vec<String>, String> {
    let texts = texts(value, "address:port")?;
    for text in &texts {
        PolicySettings::service(text)?;
    }
    Ok(texts)
}

/// Lines of the matrix between segments, in a list or separated by commas.
fn paths(value: &Value) -> Result<Vec<String>, String> {
    let texts = texts(value, "'SEGMENT > SEGMENT: SERVICES'")?;
    if texts.len() > matrix::LINES {
        return Err(format!(
            "wants at most {} lines, not {}",
            matrix::LINES,
            texts.len()
        ));
    }
    for text in &texts {
        matrix::Line::parse(text)?;
    }
    Ok(texts)
}

/// Texts in a list or separated by commas.
fn texts(value: &Value, what: &str) -> Result<Vec<String>, String> {
    Ok(match value {
        Value::Array(list) => list
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect(),
        Value::String(text) => text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text)
            .split(',')
            .map(|part| part.trim().trim_matches('"').to_owned())
            .filter(|part| !part.is_empty())
            .collect(),
        other => return Err(format!("wants a list of {what}, not {other}")),
    })
}

/// A number that may have a fraction, at least 0.
fn amount(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Float(f) => Some(*f),
        Value::Integer(n) => Some(*n as f64),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|n| n.is_finite() && *n >= 0.0)
        .ok_or_else(|| format!("wants a number of at least 0, not {value}"))
}

/// One number for all roles, or three: edge, DMZ, intranet.
pub(super) fn by_role(value: &Value) -> Result<ByRole<u32>, String> {
    let wrong = || format!("wants a number, or three: [edge, dmz, intranet]; not {value}");
    let list: Vec<Value> = match value {
        Value::Array(list) => list.clone(),
        Value::String(text) => text
            .trim_matches(['[', ']', ' '])
            .split(',')
            .map(|part| Value::String(part.trim().to_owned()))
            .collect(),
        one => vec![one.clone()],
    };
    match list.as_slice() {
        [all] => number(all).map(|n| ByRole::new(n, n, n)),
        [edge, dmz, intranet] => Ok(ByRole::new(number(edge)?, number(dmz)?, number(intranet)?)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_by_role_take_one_number_or_three() {
        let of = |text: &str| by_role(&Value::String(text.to_owned()));
        assert_eq!(of("7"), Ok(ByRole::new(7, 7, 7)));
        assert_eq!(of("[3, 2, 1]"), Ok(ByRole::new(3, 2, 1)));
        assert!(of("3, 2").is_err() && of("many").is_err());
        let list = Value::Array(vec![3.into(), 2.into(), 1.into()]);
        assert_eq!(by_role(&list), Ok(ByRole::new(3, 2, 1)));
    }

    #[test]
    fn sizes_of_tables_are_told_from_thresholds() {
        let mut config = crate::config::Config::default();
        for key in crate::config::all_keys() {
            // Only a size may not be 0.
            let size =
                (key.set)(&mut config, &Value::Integer(0)) == Err("wants at least 1".to_owned());
            if key.name.starts_with("detectors.") {
                assert_eq!(is_table_size(key.name), size, "{}", key.name);
            }
        }
    }

    #[test]
    fn every_key_is_set_by_what_it_shows() {
        let mut config = crate::config::Config::default();
        for key in DETECTOR_KEYS {
            let shown = (key.get)(&config);
            let result = (key.set)(&mut config, &Value::String(shown.clone()));
            assert_eq!(result, Ok(()), "{} = {shown}", key.name);
            assert_eq!((key.get)(&config), shown, "{}", key.name);
        }
    }
}
