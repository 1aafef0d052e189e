//! Values behind an [`Arc`] that are written once however many hold them.
//!
//! A broadcast that is on its way to a thousand devices is one value in memory. Within [`written_once`] its first holder
//! writes it whole and every other a number, and within [`read_once`] all holders share it again. Outside of them
//! each holder writes its own copy. Use it as `#[serde(with = "crate::shared")]`, and [`optional`] for an `Option`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

thread_local! {
    /// Numbers of the values written so far, by address.
    static WRITTEN: RefCell<Option<BTreeMap<usize, u32>>> = const { RefCell::new(None) };
    /// The values read so far: an `Arc<T>` each.
    static READ: RefCell<Option<Vec<Box<dyn Any>>>> = const { RefCell::new(None) };
}

/// How a shared value is written.
#[derive(Serialize, Deserialize)]
enum Form<T> {
    /// Here, for the first time.
    Whole(T),
    /// As the value with this number.
    Again(u32),
}

/// Calls `write`, in which every shared value is written once. The values must stay where they are meanwhile.
pub(crate) fn written_once<R>(write: impl FnOnce() -> R) -> R {
    let before = WRITTEN.replace(Some(BTreeMap::new()));
    let result = write();
    WRITTEN.set(before);
    result
}

/// Calls `read`, in which values are shared again that [`written_once`] wrote once.
pub(crate) fn read_once<R>(read: impl FnOnce() -> R) -> R {
    let before = READ.replace(Some(Vec::new()));
    let result = read();
    READ.set(before);
    result
}

pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
    let address = Arc::as_ptr(value).addr();
    let known =
        WRITTEN.with_borrow(|written| written.as_ref().and_then(|known| known.get(&address).copied()));
    if let Some(number) = known {
        return Form::<&T>::Again(number).serialize(to);
    }
    let done = Form::Whole(&**value).serialize(to)?;
    WRITTEN.with_borrow_mut(|written| {
        if let Some(known) = written {
            known.insert(address, known.len() as u32);
        }
    });
    Ok(done)
}

pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Arc<T>, D::Error>
where
    T: Deserialize<'de> + 'static,
    D: Deserializer<'de>,
{
    match Form::deserialize(from)? {
        Form::Whole(value) => {
            let value: Arc<T> = Arc::new(value);
            READ.with_borrow_mut(|read| {
                if let Some(known) = read {
                    known.push(Box::new(Arc::clone(&value)));
                }
            });
            Ok(value)
        }
        Form::Again(number) => {
            let again = READ.with_borrow(|read| {
                let known = read.as_ref()?.get(number as usize)?;
                known.downcast_ref::<Arc<T>>().cloned()
            });
            again.ok_or_else(|| D::Error::custom(format!("no value of this kind has the number {number}")))
        }
    }
}

/// The same for a value that may be missing.
pub(crate) mod optional {
    use super::{Arc, Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de> + 'static"))]
    struct Held<T>(#[serde(with = "super")] Arc<T>);

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Arc<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|value| Held(Arc::clone(value))).serialize(to)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<Arc<T>>, D::Error>
    where
        T: Deserialize<'de> + 'static,
        D: Deserializer<'de>,
    {
        Ok(Option::<Held<T>>::deserialize(from)?.map(|held| held.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotune_kernel::codec;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(with = "crate::shared")]
        text: Arc<String>,
        #[serde(with = "crate::shared::optional")]
        list: Option<Arc<Vec<u32>>>,
    }

    fn holders() -> Vec<Holder> {
        let (text, list) = (Arc::new("x".repeat(1_000)), Arc::new(vec![7; 1_000]));
        let holder = |list| Holder { text: Arc::clone(&text), list };
        vec![holder(None), holder(Some(Arc::clone(&list))), holder(Some(list))]
    }

    #[test]
    fn what_many_hold_is_written_once_and_shared_again() {
        let holders = holders();
        let bytes = written_once(|| codec::encode(9, &holders)).unwrap();
        assert!((2_000..2_100).contains(&bytes.len()), "{} bytes", bytes.len());
        let read: Vec<Holder> = read_once(|| codec::decode(9, &bytes)).unwrap();
        assert_eq!(read, holders);
        assert!(Arc::ptr_eq(&read[0].text, &read[2].text));
        assert!(Arc::ptr_eq(read[1].list.as_ref().unwrap(), read[2].list.as_ref().unwrap()));
    }

    #[test]
    fn without_a_scope_everybody_writes_a_copy() {
        let holders = holders();
        let bytes = codec::encode(9, &holders).unwrap();
        assert!(bytes.len() > 5_000);
        assert_eq!(codec::decode::<Vec<Holder>>(9, &bytes).unwrap(), holders);
    }

    #[test]
    fn a_number_that_nothing_has_is_refused() {
        let bytes = written_once(|| codec::encode(9, &holders())).unwrap();
        assert!(codec::decode::<Vec<Holder>>(9, &bytes).is_err(), "numbers mean nothing outside of a scope");
    }
}
