//! A header field, as it was read, into its message: what is odd about it, and how many there may be.

use super::event::Event;
use super::headers::{Added, Headers, Oddities};
use super::session::Shared;
use super::text::content_length;
use super::tx::Once;
use crate::packet::Direction;

/// What is odd about fields, as each direction says it.
struct Said {
    /// Requests do not tell it.
    deformed_eol: Option<Event>,
    space_after_name: Event,
    folding: Event,
    name: Event,
    no_colon: Event,
    lengths: Event,
    repeated: Event,
    too_many: Event,
}

const REQUEST: Said = Said {
    deformed_eol: None,
    space_after_name: Event::RequestInvalidLwsAfterName,
    folding: Event::InvalidRequestFieldFolding,
    name: Event::RequestHeaderInvalid,
    no_colon: Event::RequestFieldMissingColon,
    lengths: Event::DuplicateContentLengthFieldInRequest,
    repeated: Event::RequestHeaderRepetition,
    too_many: Event::RequestTooManyHeaders,
};

const RESPONSE: Said = Said {
    deformed_eol: Some(Event::DeformedEol),
    space_after_name: Event::ResponseInvalidLwsAfterName,
    folding: Event::InvalidResponseFieldFolding,
    name: Event::ResponseHeaderNameNotToken,
    no_colon: Event::ResponseFieldMissingColon,
    lengths: Event::DuplicateContentLengthFieldInResponse,
    repeated: Event::ResponseHeaderRepetition,
    too_many: Event::ResponseTooManyHeaders,
};

/// A field: its bytes on the wire, name and value without what is around them, and what was odd.
#[derive(Clone, Copy)]
pub(super) struct ReadField<'a> {
    pub raw: &'a [u8],
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub odd: Oddities,
}

/// Adds a field to the message of `direction` of a transaction. False: there is no such transaction, or no more room.
pub(super) fn add(
    shared: &mut Shared,
    id: u64,
    direction: Direction,
    ReadField {
        raw,
        name,
        value,
        odd,
    }: ReadField<'_>,
) -> bool {
    let Some(tx) = shared.tx(id) else {
        return false;
    };
    let (said, headers, all) = match direction {
        Direction::ToServer => (&REQUEST, &mut tx.request.headers, &mut tx.request.raw),
        Direction::ToClient => (&RESPONSE, &mut tx.response.headers, &mut tx.response.raw),
    };
    all.extend_from_slice(raw);
    let ambiguous = name.eq_ignore_ascii_case(b"content-length")
        && headers.get(b"content-length").is_some_and(|old| {
            content_length(old).is_none_or(|n| content_length(value) != Some(n))
        });
    let mut added = headers.add(name, value);
    if all.len() > 2 * Headers::BYTES_MAX {
        added = Added::Full;
    }
    let full = added == Added::Full;
    let nameless = odd.no_colon || odd.name_empty;
    for event in [
        said.deformed_eol.filter(|_| odd.deformed_eol),
        (odd.name_trailing_space && tx.tell_once(Once::Invalid)).then_some(said.space_after_name),
        (odd.name_leading_space && tx.tell_once(Once::Folding)).then_some(said.folding),
        (odd.name_not_token && tx.tell_once(Once::Invalid)).then_some(said.name),
        (nameless && tx.tell_once(Once::Unparseable)).then_some(said.no_colon),
        (ambiguous && !full).then_some(said.lengths),
        (added == Added::Repeated).then_some(said.repeated),
        full.then_some(said.too_many),
    ]
    .into_iter()
    .flatten()
    {
        shared.raise(id, event);
    }
    !full
}
