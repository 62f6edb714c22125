//! HTTP in EVE: the `http` object of http, fileinfo and alert records.

use super::content::range;

use super::tx::{Status, Tx, part};
use crate::alert::Json;

/// Writes `"http":{…}`.
pub(super) fn write(tx: &Tx, json: &mut Json<'_>) {
    let (request, response) = (&tx.request, &tx.response);
    json.object("http");
    if let Some(host) = &request.host {
        json.str("hostname", host);
    }
    if let Some(port) = request.port {
        json.num("http_port", port);
    }
    if let Some(uri) = tx.raw_uri() {
        json.str("url", uri);
    }
    if let Some(agent) = request.headers.get(b"user-agent") {
        json.str("http_user_agent", agent);
    }
    if let Some(forwarded) = request.headers.get(b"x-forwarded-for") {
        json.str("xff", forwarded);
    }
    if let Some(kind) = response.headers.get(b"content-type") {
        json.str(
            "http_content_type",
            kind.split(|b| *b == b';').next().unwrap_or_default(),
        );
    }
    if let Some(value) = response.headers.get(b"content-range") {
        json.object("content_range").str("raw", value);
        if let Some(range) = range(value) {
            for (name, number) in [
                ("start", range.start),
                ("end", range.end),
                ("size", range.size),
            ] {
                if let Some(number) = number {
                    json.num(name, number);
                }
            }
        }
        json.end();
    }
    if let Some(referer) = request.headers.get(b"referer") {
        json.str("http_refer", referer);
    }
    if let Some(method) = part(&request.line, request.method) {
        json.str("http_method", method);
    }
    if let Some(protocol) = part(&request.line, request.protocol) {
        json.str("protocol", protocol);
    }
    match (response.status, part(&response.line, response.status_text)) {
        (Status::Code(code), _) => {
            json.num("status", code);
        }
        (_, Some(text)) => {
            json.str("status_string", text);
        }
        _ => {}
    }
    if let Some(location) = response.headers.get(b"location") {
        json.str("redirect", location);
    }
    json.num("length", response.message_len);
    json.end();
}
