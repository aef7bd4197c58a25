//! Where an image's or a document's bytes are, checked once for every format.

use crate::types::{FilePart, ImagePart};
use crate::{Error, Result};

/// Where the bytes are.
pub(super) enum Source<'a> {
    Url(&'a str),
    Data {
        media_type: &'a str,
        base64: &'a str,
    },
    FileId(&'a str),
}

/// Reads an image part at `path`; a `data:` address counts as data.
pub(super) fn image<'a>(part: &'a ImagePart, path: &str) -> Result<Source<'a>> {
    source(
        part.url.as_deref(),
        part.data.as_deref(),
        None,
        part.media_type.as_deref(),
    )
    .ok_or_else(|| {
        Error::invalid(
            path,
            "expected `url`, or `data` with `media_type`, and not both",
        )
    })
}

/// Reads a file part at `path`.
pub(super) fn file<'a>(part: &'a FilePart, path: &str) -> Result<Source<'a>> {
    let id = part.file_id.as_deref();
    source(
        part.url.as_deref(),
        part.data.as_deref(),
        id,
        part.media_type.as_deref(),
    )
    .ok_or_else(|| {
        Error::invalid(
            path,
            "expected exactly one of `url`, `file_id`, and `data` with `media_type`",
        )
    })
}

fn source<'a>(
    url: Option<&'a str>,
    data: Option<&'a str>,
    file_id: Option<&'a str>,
    media_type: Option<&'a str>,
) -> Option<Source<'a>> {
    match (url, data, file_id, media_type) {
        (Some(url), None, None, _) => Some(data_url(url).unwrap_or(Source::Url(url))),
        (None, Some(base64), None, Some(media_type)) => Some(Source::Data { media_type, base64 }),
        (None, None, Some(id), _) => Some(Source::FileId(id)),
        _ => None,
    }
}

/// RFC 2397, base64 only.
fn data_url(url: &str) -> Option<Source<'_>> {
    let (head, base64) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = media_type.split(';').next().unwrap_or(media_type);
    Some(Source::Data { media_type, base64 })
}
