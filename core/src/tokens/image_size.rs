//! Width and height of an image from the first bytes of its file, without decoding it.

/// Width and height in pixels of a PNG, JPEG, GIF or WebP file; `None` for anything else and for what is cut off before.
///
/// Reads headers only: constant time, or for JPEG one step for each segment before the frame header. Sources: PNG
/// (RFC 2083 §4.1.1), GIF89a §18, ITU-T T.81 §B.2.2, WebP container (RFC 9649).
pub fn image_size(file: &[u8]) -> Option<(u32, u32)> {
    let size = png(file)
        .or_else(|| gif(file))
        .or_else(|| webp(file))
        .or_else(|| jpeg(file));
    size.filter(|(width, height)| *width > 0 && *height > 0)
}

fn at<const N: usize>(file: &[u8], start: usize) -> Option<[u8; N]> {
    file.get(start..)?.first_chunk::<N>().copied()
}

fn png(file: &[u8]) -> Option<(u32, u32)> {
    let header = file.starts_with(b"\x89PNG\r\n\x1a\n") && at(file, 12)? == *b"IHDR";
    header.then_some((
        u32::from_be_bytes(at(file, 16)?),
        u32::from_be_bytes(at(file, 20)?),
    ))
}

fn gif(file: &[u8]) -> Option<(u32, u32)> {
    let header = file.starts_with(b"GIF87a") || file.starts_with(b"GIF89a");
    header.then_some((
        u16::from_le_bytes(at(file, 6)?).into(),
        u16::from_le_bytes(at(file, 8)?).into(),
    ))
}

fn webp(file: &[u8]) -> Option<(u32, u32)> {
    if !file.starts_with(b"RIFF") || at(file, 8)? != *b"WEBP" {
        return None;
    }
    match &at::<4>(file, 12)? {
        b"VP8 " if at(file, 23)? == [0x9d, 0x01, 0x2a] => {
            let side = |start| at(file, start).map(|b| u32::from(u16::from_le_bytes(b) & 0x3fff));
            Some((side(26)?, side(28)?))
        }
        b"VP8L" if at(file, 20)? == [0x2f] => {
            let bits = u32::from_le_bytes(at(file, 21)?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let side = |start| {
                at(file, start).map(|[a, b, c]: [u8; 3]| u32::from_le_bytes([a, b, c, 0]) + 1)
            };
            Some((side(24)?, side(27)?))
        }
        _ => None,
    }
}

fn jpeg(file: &[u8]) -> Option<(u32, u32)> {
    if !file.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let mut position = 2;
    loop {
        let [mark, kind] = at(file, position)?;
        if mark != 0xff {
            return None;
        }
        match kind {
            // Any number of fill bytes may precede a marker.
            0xff => position += 1,
            // Frame headers: all of C0 to CF but the tables and extensions among them.
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                let side = |start| at(file, start).map(|b| u32::from(u16::from_be_bytes(b)));
                return Some((side(position + 7)?, side(position + 5)?));
            }
            // Markers without a length.
            0x01 | 0xd0..=0xd8 => position += 2,
            // The scan or the end comes first: there is no frame header.
            0xd9 | 0xda => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes(at(file, position + 2)?));
                if length < 2 {
                    return None;
                }
                position += 2 + length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> [(Vec<u8>, (u32, u32)); 6] {
        let webp =
            |kind: &[u8], body: &[u8]| [b"RIFF\0\0\0\0WEBP", kind, b"\0\0\0\0", body].concat();
        [
            (
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x03\0".to_vec(),
                (1024, 768),
            ),
            (b"GIF89a\x40\x01\xf0\0".to_vec(), (320, 240)),
            (
                webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01"),
                (640, 480),
            ),
            (webp(b"VP8L", &[0x2f, 0x7f, 0xc2, 0x77, 0x00]), (640, 480)),
            (
                webp(b"VP8X", &[0, 0, 0, 0, 0x7f, 0x02, 0, 0xdf, 0x01, 0]),
                (640, 480),
            ),
            (
                b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xff\xdb\0\x03\0\xff\xc2\0\x11\x08\x01\xe0\x02\x80"
                    .to_vec(),
                (640, 480),
            ),
        ]
    }

    #[test]
    fn the_size_of_each_format_is_read_from_its_header() {
        for (file, size) in files() {
            assert_eq!(image_size(&file), Some(size), "{file:x?}");
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_has_no_size_and_does_no_harm() {
        for (file, _) in files() {
            for length in 0..file.len() {
                assert_eq!(image_size(&file[..length]), None);
            }
        }
    }

    #[test]
    fn damaged_files_do_no_harm() {
        let mut seed = 9u32;
        for (file, _) in files() {
            for _ in 0..20_000 {
                let mut file = file.clone();
                for _ in 0..2 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let at = seed as usize / 7 % file.len();
                    file[at] = (seed >> 24) as u8;
                }
                if let Some((width, height)) = image_size(&file) {
                    assert!(width > 0 && height > 0);
                }
            }
        }
        assert_eq!(image_size(&[0xff; 4096]), None);
        assert_eq!(
            image_size(&[[0xff, 0xd8].as_slice(), &[0xff; 4096]].concat()),
            None
        );
    }
}
