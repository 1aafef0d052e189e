use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    Hello { name: String, round: u64 },
    Weights(Vec<f32>),
    Nothing,
}

const KIND: u16 = 7;

fn hello() -> Message {
    Message::Hello { name: "edge-17".into(), round: 300 }
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        (".{0,40}", any::<u64>()).prop_map(|(name, round)| Message::Hello { name, round }),
        prop::collection::vec(-1e3f32..1e3, 0..200).prop_map(Message::Weights),
        Just(Message::Nothing),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read_back_and_its_length_is_known_before(message in messages()) {
        let bytes = encode(KIND, &message).unwrap();
        prop_assert_eq!(bytes.len() as u64, encoded_len(KIND, &message).unwrap());
        prop_assert_eq!(decode::<Message>(KIND, &bytes).unwrap(), message);
    }

    #[test]
    fn any_changed_byte_is_an_error(message in messages(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = encode(KIND, &message).unwrap();
        bytes[at.index(HEADER_LEN + 1).min(HEADER_LEN - 1)] ^= flip;
        prop_assert!(decode::<Message>(KIND, &bytes).is_err());
        let mut bytes = encode(KIND, &message).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(decode::<Message>(KIND, &bytes).is_err(), "byte {} changed by {:#x}", at, flip);
    }

    #[test]
    fn any_truncation_or_extension_is_an_error(message in messages(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(KIND, &message).unwrap();
        prop_assert!(decode::<Message>(KIND, &bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        let refused = matches!(decode::<Message>(KIND, &bytes), Err(CodecError::Trailing { extra: 1, what: "frame" }));
        prop_assert!(refused);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode::<Message>(KIND, &bytes).is_err());
    }

    /// Even with a right checksum a payload of noise must not panic or make bincode allocate what it claims to hold.
    #[test]
    fn a_forged_payload_never_panics(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Frame { kind: KIND, payload: &payload }.value::<Message>(KIND);
        let _ = Frame { kind: KIND, payload: &payload }.value::<Vec<String>>(KIND);
    }
}

#[test]
fn a_forged_length_does_not_allocate() {
    // bincode's varint: 253 announces eight bytes of length, here 2^60.
    let payload = [253, 0, 0, 0, 0, 0, 0, 0, 16];
    for result in [
        Frame { kind: KIND, payload: &payload }.value::<String>(KIND).map(drop),
        Frame { kind: KIND, payload: &payload }.value::<Vec<f64>>(KIND).map(drop),
    ] {
        assert!(matches!(result, Err(CodecError::Decode { kind: KIND, .. })), "{result:?}");
    }
}

#[test]
fn dense_small_integers_stay_under_bincodes_limit_on_every_rung() {
    for count in [4_000usize, 0x1001, 0x1_0001, 1_000_000, 0x100_0000, 0x100_0001] {
        let values = vec![1u128; count];
        assert_eq!(decode::<Vec<u128>>(KIND, &encode(KIND, &values).unwrap()).unwrap().len(), count);
    }
}

#[test]
fn each_error_says_what_was_found() {
    let bytes = encode(KIND, &hello()).unwrap();
    let refusal =
        |kind, bytes: &[u8], limit| decode_limited::<Message>(kind, bytes, limit).unwrap_err().to_string();
    assert_eq!(refusal(KIND, &bytes[..20], 100), "the frame is cut short: 20 bytes of 32");
    assert_eq!(refusal(KIND, &bytes[..33], 100), "the frame is cut short: 33 bytes of 44");
    assert_eq!(refusal(8, &bytes, 100), "the frame holds kind 7, not kind 8");
    assert_eq!(refusal(KIND, &bytes, 5), "the payload of 12 bytes is over the limit of 5");
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert_eq!(refusal(KIND, &newer, 100), "the frame has version 2; this build reads version 1");
    let mut other = bytes.clone();
    other[..4].copy_from_slice(b"PK\x03\x04");
    assert_eq!(
        refusal(KIND, &other, 100),
        "the frame begins with [50, 4b, 03, 04] instead of [63, 74, 6e, 00]"
    );
    assert!(matches!(decode::<u8>(KIND, &bytes), Err(CodecError::Trailing { what: "value", .. })));
}

#[test]
fn frames_follow_one_another_in_a_log() {
    let mut log = encode(1, &hello()).unwrap();
    log.extend(encode(2, &Message::Nothing).unwrap());
    let (first, rest) = read_frame(&log, 100).unwrap();
    let (second, rest) = read_frame(rest, 100).unwrap();
    assert_eq!(first.value::<Message>(1).unwrap(), hello());
    assert_eq!(second.value::<Message>(2).unwrap(), Message::Nothing);
    assert!(rest.is_empty());
}

#[test]
fn a_value_that_grew_is_read_as_far_as_it_is_known() {
    let grown = encode(KIND, &(hello(), "a field of a newer version")).unwrap();
    let (frame, _) = read_frame(&grown, 100).unwrap();
    assert_eq!(frame.beginning::<Message>(KIND).unwrap(), hello());
    assert!(matches!(frame.value::<Message>(KIND), Err(CodecError::Trailing { what: "value", .. })));
    assert!(matches!(frame.beginning::<Message>(8), Err(CodecError::Kind { expected: 8, found: KIND })));
}

#[test]
fn the_bytes_of_a_frame_are_pinned() {
    let hex: String = encode(KIND, &hello()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = "63746e00010007000c00000000000000e96f5394f99fd6cbf823cc180c765a47";
    let payload = "0007656467652d3137fb2c01"; // variant 0; 7 bytes "edge-17"; 251 announces a u16, 300
    assert_eq!(hex, [header, payload].concat());
}
