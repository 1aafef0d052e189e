//! Tensors on their way between a file and a device.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

/// A floating-point format of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, 5 of them exponent.
    F16,
    /// 16 bits, 8 of them exponent.
    Bf16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::F32, Self::F16, Self::Bf16];
        let found = all.into_iter().find(|precision| precision.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is not a precision: write f32, f16 or bf16"))
    }
}

impl Precision {
    /// The format of a safetensors type; `None` for types that are not read.
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Its name in `config.json`.
    pub(crate) fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Values rounded to this format, little-endian.
    pub(crate) fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        }
    }
}

/// The values of one stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Values {
    /// Reads little-endian bytes; `None` for types that are not read.
    pub(crate) fn decode(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
        let two = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
        Some(match Precision::of(dtype)? {
            Precision::F32 => Self::F32(
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            ),
            Precision::F16 => Self::F16(two().map(f16::from_le_bytes).collect()),
            Precision::Bf16 => Self::Bf16(two().map(bf16::from_le_bytes).collect()),
        })
    }

    /// The same numbers in f32.
    pub(crate) fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::F16(values) => values.to_f32_vec(),
            Self::Bf16(values) => values.to_f32_vec(),
        }
    }
}

/// The parts of one tensor in a common format.
pub(crate) enum Parts {
    F32(Vec<Vec<f32>>),
    F16(Vec<Vec<f16>>),
    Bf16(Vec<Vec<bf16>>),
}

impl Parts {
    /// The format of the file if all parts have it; f32 if they differ or if `widen`.
    pub(crate) fn alike(parts: Vec<Values>, widen: bool) -> Self {
        let all = |is: fn(&Values) -> bool| !widen && parts.iter().all(is);
        if all(|part| matches!(part, Values::F16(_))) {
            Self::F16(
                parts
                    .into_iter()
                    .filter_map(|p| if let Values::F16(v) = p { Some(v) } else { None })
                    .collect(),
            )
        } else if all(|part| matches!(part, Values::Bf16(_))) {
            Self::Bf16(
                parts
                    .into_iter()
                    .filter_map(|p| if let Values::Bf16(v) = p { Some(v) } else { None })
                    .collect(),
            )
        } else {
            Self::F32(parts.into_iter().map(Values::into_f32).collect())
        }
    }
}
