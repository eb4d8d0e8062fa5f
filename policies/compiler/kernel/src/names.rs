//! Names of the rules become ids of this gateway, once per instance.

use crate::layout::{
    H_INTERFACES, H_NAME_COUNT, H_NAMES, INTERFACE_IDS, NAME_BYTES_MAX, NAME_INTERFACE, NAME_WORDS,
};

/// Resolves every name of an image through `resolve(kind, name)`, which returns -1 for none.
///
/// # Errors
/// The first name, other than an interface's, that there is no id for; its bytes and length.
pub fn resolve_names(
    image: &mut [u32],
    mut resolve: impl FnMut(u32, &[u8]) -> i32,
) -> Result<(), ([u8; NAME_BYTES_MAX], usize)> {
    let (names, count) = (image[H_NAMES] as usize, image[H_NAME_COUNT] as usize);
    for index in 0..count {
        let at = names + index * NAME_WORDS;
        let (kind, len) = (image[at] & 0xff, (image[at] >> 8) as usize);
        let mut bytes = [0; NAME_BYTES_MAX];
        let len = len.min(NAME_BYTES_MAX);
        for (n, byte) in bytes[..len].iter_mut().enumerate() {
            *byte = (image[image[at + 1] as usize + n / 4] >> (n % 4 * 8)) as u8;
        }
        let id = resolve(kind, &bytes[..len]);
        let Ok(id) = u32::try_from(id) else {
            if kind == NAME_INTERFACE {
                continue;
            }
            return Err((bytes, len));
        };
        if kind != NAME_INTERFACE {
            image[image[at + 2] as usize] = id;
        } else if (id as usize) < INTERFACE_IDS {
            image[image[H_INTERFACES] as usize + id as usize] = image[at + 3];
        }
    }
    Ok(())
}
