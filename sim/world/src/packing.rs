//! Lossy encodings of what travels: int8 with a scale for every block, and top-k.
//!
//! What is packed is a *difference* to values that both ends have: up, to the broadcast that the device received; down,
//! to the fresh adapter, which follows from the seed. The receiver adds what it unpacks. So both the bytes on the wire
//! and the weights that the other end goes on with are those of the encoding.
//!
//! - **int8**: blocks of values share a scale s = max|x|/127 and each is sent as round(x/s) (block-wise absmax quantisation:
//!   Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", §2). 1 byte a value and 4 a block.
//! - **topk**: the largest share of an adapter's values by magnitude, as index and value (Aji & Heafield 2017, "Sparse
//!   communication for distributed gradient descent"). 8 bytes a value that is sent.
//! - **error feedback**: what the encoding lost is kept by the device and added to its next difference (Seide et al. 2014;
//!   Karimireddy et al. 2019, "Error feedback fixes SignSGD", algorithm 2).

use std::collections::BTreeMap;

use cotune_scenario::transfer::Encoding;
use serde::{Deserialize, Serialize};

use crate::lab::Lab;
use crate::payload::{Part, Payload};

/// What encodings lost of a device's differences so far, by model.
pub type Residual = BTreeMap<String, Vec<f32>>;

/// A packed difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Packed {
    /// Values before packing.
    length: u32,
    /// How to unpack it.
    form: Form,
    /// Little endian.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Form {
    /// For every block its scale (f32), then all values (i8).
    Int8 { block: u32 },
    /// For every value that is sent, ascending by index: index (u32) and value (f32).
    TopK,
}

/// A packed difference as it was read: it may come from anyone.
#[derive(Deserialize)]
#[serde(rename = "Packed")]
struct Unchecked {
    length: u32,
    form: Form,
    bytes: Vec<u8>,
}

impl TryFrom<Unchecked> for Packed {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { length, form, bytes } = read;
        let fits = match form {
            Form::Int8 { block: 0 } => false,
            Form::Int8 { block } => {
                bytes.len() as u64 == u64::from(length) + 4 * u64::from(length.div_ceil(block))
            }
            Form::TopK => {
                let known = |entry: &[u8]| u32::from_le_bytes(word(entry)) < length;
                bytes.len().is_multiple_of(8) && bytes.chunks_exact(8).all(known)
            }
        };
        if fits { Ok(Self { length, form, bytes }) } else { Err("a packed difference contradicts itself") }
    }
}

/// The first four bytes.
fn word(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// Packs `values`; none where the encoding leaves values as they are.
pub fn pack(encoding: &Encoding, values: &[f32]) -> Option<Packed> {
    let length = u32::try_from(values.len()).expect("an adapter has less than 2^32 values");
    match encoding {
        Encoding::None => None,
        Encoding::Int8 { block, .. } => {
            Some(Packed { length, form: Form::Int8 { block: *block }, bytes: int8(values, *block) })
        }
        Encoding::TopK { share, .. } => {
            Some(Packed { length, form: Form::TopK, bytes: topk(values, sent(*share, values.len())) })
        }
    }
}

/// Bytes of `values` packed values, without the frame around them.
pub fn packed_bytes(encoding: &Encoding, values: f64) -> f64 {
    match encoding {
        Encoding::None => 4.0 * values,
        Encoding::Int8 { block, .. } => values + 4.0 * (values / f64::from(*block)).ceil(),
        Encoding::TopK { share, .. } => 8.0 * (share * values).ceil(),
    }
}

/// Values that top-k sends of `length`.
fn sent(share: f64, length: usize) -> usize {
    ((share * length as f64).ceil() as usize).min(length)
}

fn int8(values: &[f32], block: u32) -> Vec<u8> {
    let block = block as usize;
    let mut bytes = Vec::with_capacity(values.len() + 4 * values.len().div_ceil(block));
    let scale = |values: &[f32]| {
        // A number that is not finite makes the whole block so: the receiver must be able to see it.
        let largest =
            values.iter().fold(0.0f32, |most, x| if x.is_finite() { most.max(x.abs()) } else { f32::NAN });
        if values.iter().any(|x| !x.is_finite()) { f32::NAN } else { largest / 127.0 }
    };
    values.chunks(block).for_each(|block| bytes.extend(scale(block).to_le_bytes()));
    for block in values.chunks(block) {
        let scale = scale(block);
        // `as` saturates, and takes NaN to 0.
        bytes.extend(block.iter().map(|x| if scale == 0.0 { 0 } else { (x / scale).round() as i8 as u8 }));
    }
    bytes
}

fn topk(values: &[f32], k: usize) -> Vec<u8> {
    // NaN counts as infinite: it is sent, and the receiver sees it.
    let magnitude = |index: u32| {
        let magnitude = values[index as usize].abs();
        if magnitude.is_nan() { f32::INFINITY } else { magnitude }
    };
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let larger = |a: &u32, b: &u32| magnitude(*b).total_cmp(&magnitude(*a)).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k, larger);
        order.truncate(k);
    }
    order.sort_unstable();
    order
        .into_iter()
        .flat_map(|index| [index.to_le_bytes(), values[index as usize].to_le_bytes()])
        .flatten()
        .collect()
}

impl Packed {
    /// How many values are packed.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Whether all values are finite. It takes memory in proportion to the bytes, however many values there are said to be.
    pub fn is_finite(&self) -> bool {
        match self.form {
            Form::Int8 { .. } => self.unpack().iter().all(|value| value.is_finite()),
            Form::TopK => {
                let entries = self.bytes.chunks_exact(8);
                entries.map(|entry| f32::from_le_bytes(word(&entry[4..]))).all(f32::is_finite)
            }
        }
    }

    /// The values that the receiver has.
    pub fn unpack(&self) -> Vec<f32> {
        let length = self.length as usize;
        match self.form {
            Form::Int8 { block } => {
                let (scales, steps) = self.bytes.split_at(4 * length.div_ceil(block as usize));
                let scales = scales.chunks_exact(4).map(|bytes| f32::from_le_bytes(word(bytes)));
                let blocks = steps.chunks(block as usize).zip(scales);
                blocks
                    .flat_map(|(steps, scale)| steps.iter().map(move |step| f32::from(*step as i8) * scale))
                    .collect()
            }
            Form::TopK => {
                let mut values = vec![0.0; length];
                for entry in self.bytes.chunks_exact(8) {
                    let index = u32::from_le_bytes(word(&entry[..4]));
                    values[index as usize] = f32::from_le_bytes(word(&entry[4..]));
                }
                values
            }
        }
    }
}

/// A payload as it goes over the wire.
pub fn packed(encoding: &Encoding, payload: &Payload, reference: impl Fn(&str) -> Vec<f32>) -> Payload {
    through(encoding, payload, reference, None).0
}

/// What a device receives of a broadcast.
pub fn received(lab: &Lab, broadcast: &Payload) -> Payload {
    match &lab.scenario().transfer.down {
        Encoding::None => broadcast.clone(),
        encoding => through(encoding, broadcast, |model| fresh(lab, model), None).1,
    }
}

/// What the cloud receives of an update, from a device that had received `received`. `residual` is what earlier updates
/// lost, and afterwards what this one lost as well.
pub fn sent_up(lab: &Lab, update: Payload, received: &Payload, residual: &mut Residual) -> Payload {
    let encoding = &lab.scenario().transfer.up;
    let reference = |model: &str| match received.values(model) {
        Some(values) => values.to_vec(),
        None => fresh(lab, model),
    };
    match encoding {
        Encoding::None => update,
        Encoding::Int8 { error_feedback: true, .. } | Encoding::TopK { error_feedback: true, .. } => {
            through(encoding, &update, reference, Some(residual)).1
        }
        _ => through(encoding, &update, reference, None).1,
    }
}

/// The fresh adapter of a model, which every party has.
pub(crate) fn fresh(lab: &Lab, model: &str) -> Vec<f32> {
    lab.model(model).fresh(lab.scenario().seed).values
}

/// A payload on the wire and at its receiver.
fn through(
    encoding: &Encoding,
    payload: &Payload,
    reference: impl Fn(&str) -> Vec<f32>,
    mut residual: Option<&mut Residual>,
) -> (Payload, Payload) {
    let (mut wire, mut arrived) = (Payload::default(), Payload::default());
    for part in &payload.parts {
        let Part::Adapter { model, values } = part else {
            wire.parts.push(part.clone());
            arrived.parts.push(part.clone());
            continue;
        };
        let reference = reference(model);
        let mut difference: Vec<f32> =
            values.iter().zip(&reference).map(|(value, known)| value - known).collect();
        if let Some(lost) = residual.as_ref().and_then(|residual| residual.get(model)) {
            difference.iter_mut().zip(lost).for_each(|(x, lost)| *x += lost);
        }
        let Some(packed) = pack(encoding, &difference) else {
            wire.parts.push(part.clone());
            arrived.parts.push(part.clone());
            continue;
        };
        let unpacked = packed.unpack();
        if let Some(residual) = &mut residual {
            let lost = difference.iter().zip(&unpacked).map(|(meant, sent)| meant - sent);
            // An update that is not finite is rejected whole; carrying it on would reject all later ones.
            let lost = lost.map(|lost| if lost.is_finite() { lost } else { 0.0 }).collect();
            residual.insert(model.clone(), lost);
        }
        let values = reference.iter().zip(&unpacked).map(|(known, sent)| known + sent).collect();
        arrived.parts.push(Part::Adapter { model: model.clone(), values });
        wire.parts.push(Part::Packed { model: model.clone(), packed });
    }
    (wire, arrived)
}

#[cfg(test)]
mod tests {
    use cotune_kernel::{Stream, codec};

    use super::*;

    const INT8: Encoding = Encoding::Int8 { block: 64, error_feedback: true };

    fn topk(share: f64) -> Encoding {
        Encoding::TopK { share, error_feedback: true }
    }

    fn values(name: &str, n: usize) -> Vec<f32> {
        let mut stream = Stream::keyed(1, name);
        (0..n).map(|_| stream.normal() as f32).collect()
    }

    #[test]
    fn int8_is_off_by_half_a_step_of_its_block_at_most() {
        let values = values("test/int8", 1_000);
        let unpacked = pack(&INT8, &values).unwrap().unpack();
        for (block, seen) in values.chunks(64).zip(unpacked.chunks(64)) {
            let step = block.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
            for (meant, sent) in block.iter().zip(seen) {
                assert!(
                    (meant - sent).abs() <= 0.5 * step * 1.000_01,
                    "{meant} became {sent}, a step is {step}"
                );
            }
        }
        assert_eq!(pack(&INT8, &[0.0; 3]).unwrap().unpack(), [0.0; 3]);
    }

    #[test]
    fn a_difference_that_contradicts_itself_is_not_read() {
        let packed = |length, form, bytes: &[u8]| Packed { length, form, bytes: bytes.to_vec() };
        let read = |packed: &Packed| codec::decode::<Packed>(9, &codec::encode(9, packed).unwrap());
        let block = |block| Form::Int8 { block };
        assert!(
            read(&packed(3, block(2), &[0; 11])).is_ok()
                && read(&packed(9, Form::TopK, &[8, 0, 0, 0, 0, 0, 0, 0])).is_ok()
        );
        for forged in [
            packed(3, block(0), &[0; 7]),
            packed(3, block(2), &[0; 10]),
            packed(u32::MAX, block(64), &[0; 10]),
            packed(8, Form::TopK, &[8, 0, 0, 0, 0, 0, 0, 0]),
            packed(9, Form::TopK, &[8, 0, 0]),
        ] {
            assert!(read(&forged).is_err(), "{forged:?}");
        }
    }

    #[test]
    fn topk_sends_the_largest_as_they_are_and_nothing_else() {
        let packed = pack(&topk(0.4), &[0.5, -3.0, 0.0, 2.0, -2.0]).unwrap();
        assert_eq!(packed.unpack(), [0.0, -3.0, 0.0, 2.0, 0.0], "of two equal ones the first");
        let values = values("test/topk", 1_000);
        let unpacked = pack(&topk(0.03), &values).unwrap().unpack();
        let least = unpacked.iter().filter(|x| **x != 0.0).fold(f32::MAX, |least, x| least.min(x.abs()));
        assert_eq!(unpacked.iter().filter(|x| **x != 0.0).count(), 30);
        assert!(values.iter().zip(&unpacked).all(|(meant, sent)| meant == sent || meant.abs() <= least));
    }

    #[test]
    fn the_bytes_are_those_of_the_formula_whatever_the_values() {
        for encoding in [INT8, Encoding::Int8 { block: 7, error_feedback: false }, topk(0.013), topk(1.0)] {
            for n in [0, 1, 63, 64, 65, 1_000] {
                let sizes = [values("test/bytes", n), vec![0.0; n]]
                    .map(|values| pack(&encoding, &values).unwrap().bytes.len() as f64);
                assert_eq!(sizes, [packed_bytes(&encoding, n as f64); 2], "{n} values as {encoding:?}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_arrives_not_finite() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = values("test/bad", 200);
            values[77] = bad;
            for encoding in [INT8, topk(0.1)] {
                let unpacked = pack(&encoding, &values).unwrap().unpack();
                assert!(unpacked.iter().any(|x| !x.is_finite()), "{bad} as {encoding:?}");
            }
        }
    }

    /// With feedback the sum of what arrived differs from the sum of what was meant by one residual; without it the same
    /// small values are lost every time.
    #[test]
    fn with_error_feedback_everything_arrives_in_the_end() {
        let meant = values("test/feedback", 100);
        let update = Payload::adapter("m", &meant);
        for encoding in [INT8, topk(0.05)] {
            let (mut residual, mut sum, mut blind) = (Residual::new(), vec![0.0f64; 100], vec![0.0f64; 100]);
            const ROUNDS: usize = 400;
            for _ in 0..ROUNDS {
                let zeros = |_: &str| vec![0.0; 100];
                let (_, arrived) = through(&encoding, &update, zeros, Some(&mut residual));
                let (_, lossy) = through(&encoding, &update, zeros, None);
                let add = |sum: &mut Vec<f64>, payload: &Payload| {
                    sum.iter_mut().zip(payload.values("m").unwrap()).for_each(|(s, x)| *s += f64::from(*x));
                };
                add(&mut sum, &arrived);
                add(&mut blind, &lossy);
            }
            let error = |sums: &[f64]| {
                let off = |(sum, meant): (&f64, &f32)| (sum / ROUNDS as f64 - f64::from(*meant)).abs();
                sums.iter().zip(&meant).map(off).fold(0.0, f64::max)
            };
            assert!(
                error(&sum) < 0.1 * error(&blind),
                "{encoding:?}: {} against {}",
                error(&sum),
                error(&blind)
            );
        }
    }

    #[test]
    fn the_wire_carries_the_packed_difference_and_the_receiver_has_reference_and_difference() {
        let reference = values("test/reference", 128);
        let update: Vec<f32> = reference.iter().map(|x| x + 0.25).collect();
        let payload = Payload::adapter("m", &update);
        let (wire, arrived) = through(&INT8, &payload, |_| reference.clone(), None);
        assert!(wire.encoded_bytes() < payload.encoded_bytes() / 3);
        let Part::Packed { packed, .. } = &wire.parts[0] else { panic!("{wire:?}") };
        let sums: Vec<f32> =
            reference.iter().zip(packed.unpack()).map(|(known, sent)| known + sent).collect();
        assert_eq!(arrived.values("m").unwrap(), sums);
        let bytes = wire.to_wire();
        assert_eq!(bytes.len() as u64, wire.encoded_bytes());
        assert_eq!(Payload::from_wire(&bytes).unwrap(), wire);
    }
}
