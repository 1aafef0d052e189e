//! How a vocabulary spells bytes: GPT-2's byte alphabet, SentencePiece's '▁', or plainly.

use serde_json::Value;

/// The spelling of a vocabulary's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Every byte is one printable letter; a space is 'Ġ' (GPT-2, BLOOM, LLaMA 3, Qwen).
    ByteLevel,
    /// Letters are themselves, a space is '▁', `<0xNN>` is a byte (SentencePiece: LLaMA 1 and 2, T5).
    Metaspace,
    /// Letters are themselves.
    Plain,
}

impl Surface {
    /// Recognises the spelling of a serialised tokenizer by its components.
    pub(super) fn of(json: &str) -> Result<Self, serde_json::Error> {
        let file: Value = serde_json::from_str(json)?;
        let parts = [&file["pre_tokenizer"], &file["decoder"], &file["normalizer"]];
        Ok(if parts.iter().any(|part| mentions(part, &|s| s == "ByteLevel")) {
            Self::ByteLevel
        } else if parts.iter().any(|part| mentions(part, &|s| s.contains('▁'))) {
            Self::Metaspace
        } else {
            Self::Plain
        })
    }

    /// The letter that stands for a space inside tokens.
    pub fn space(self) -> char {
        match self {
            Self::ByteLevel => 'Ġ',
            Self::Metaspace => '▁',
            Self::Plain => ' ',
        }
    }

    /// The bytes a token's surface form stands for.
    pub(super) fn bytes(self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel => token
                .chars()
                .flat_map(|letter| match byte_of_letter(letter) {
                    Some(byte) => vec![byte],
                    None => letter.to_string().into_bytes(),
                })
                .collect(),
            Self::Metaspace => match fallback_byte(token) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into_bytes(),
            },
            Self::Plain => token.as_bytes().to_vec(),
        }
    }
}

fn mentions(value: &Value, test: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => test(text),
        Value::Array(items) => items.iter().any(|item| mentions(item, test)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, test)),
        _ => false,
    }
}

/// `<0x0A>` is byte 10 (SentencePiece's byte fallback).
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Whether GPT-2's alphabet leaves this byte as the letter of the same code point.
fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The byte behind a letter of GPT-2's `bytes_to_unicode`: printable Latin-1 is itself, and the 68 other
/// bytes are numbered from U+0100 in byte order.
fn byte_of_letter(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    match u8::try_from(code) {
        Ok(byte) => is_printable(byte).then_some(byte),
        Err(_) => (0..=u8::MAX).filter(|byte| !is_printable(*byte)).nth(code as usize - 0x100),
    }
}

/// The 256 letters of GPT-2's byte alphabet, in code-point order.
pub(super) fn byte_alphabet() -> Vec<char> {
    let others = (0..=u8::MAX).filter(|byte| !is_printable(*byte)).count() as u32;
    let printable = (0..=u8::MAX).filter(|byte| is_printable(*byte)).map(char::from);
    printable.chain((0..others).filter_map(|n| char::from_u32(0x100 + n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_spells_every_byte_once() {
        let mut bytes: Vec<u8> = byte_alphabet().into_iter().filter_map(byte_of_letter).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=u8::MAX).collect::<Vec<_>>());
    }

    #[test]
    fn a_space_is_its_marker_in_each_spelling() {
        for surface in [Surface::ByteLevel, Surface::Metaspace, Surface::Plain] {
            assert_eq!(surface.bytes(&format!("{}a", surface.space())), b" a", "{surface:?}");
        }
        assert_eq!(Surface::Metaspace.bytes("<0x0A>"), b"\n");
        assert_eq!(Surface::ByteLevel.bytes("ĠcafÃ©Ċ"), " café\n".as_bytes());
    }
}
