//! How structured inputs are laid out in bytes, so that seeds can be written and read alike.

use arbitrary::{Result, Unstructured};

/// A value as encoded in an input. Integers are little-endian; bytes beyond the end read as 0.
pub trait Wire: Sized {
    /// Takes it from the front of an input.
    ///
    /// # Errors
    /// See [`Unstructured`]: none for what is made of integers.
    fn take(input: &mut Unstructured<'_>) -> Result<Self>;

    /// Adds it to an input.
    fn put(&self, input: &mut Vec<u8>);
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Wire for $integer {
            fn take(input: &mut Unstructured<'_>) -> Result<Self> {
                input.arbitrary()
            }

            fn put(&self, input: &mut Vec<u8>) {
                input.extend(self.to_le_bytes());
            }
        }
    )*};
}
integers!(u8, u16, u32, u64);

/// Bytes after their number, 255 at most.
impl Wire for Vec<u8> {
    fn take(input: &mut Unstructured<'_>) -> Result<Self> {
        let count = usize::from(u8::take(input)?).min(input.len());
        input.bytes(count).map(<[u8]>::to_vec)
    }

    fn put(&self, input: &mut Vec<u8>) {
        let bytes = &self[..self.len().min(255)];
        input.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        input.extend(bytes);
    }
}

/// Text after its number of bytes; what is not UTF-8 becomes it.
impl Wire for String {
    fn take(input: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self::from_utf8_lossy(&Vec::take(input)?).into_owned())
    }

    fn put(&self, input: &mut Vec<u8>) {
        self.as_bytes().to_vec().put(input);
    }
}

/// A struct: its fields one after the other.
#[macro_export]
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* }) => {
        impl $crate::Wire for $name {
            fn take(input: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self> {
                $(let $field = $crate::Wire::take(input)?;)*
                Ok(Self { $($field),* })
            }

            fn put(&self, input: &mut Vec<u8>) {
                $($crate::Wire::put(&self.$field, input);)*
            }
        }
    };
}

/// An enum: a byte, which counts modulo the number of variants, then the fields.
#[macro_export]
macro_rules! wire_enum {
    ($name:ident, $count:literal { $($tag:literal => $variant:ident { $($field:ident),* }),* $(,)? }) => {
        impl $crate::Wire for $name {
            fn take(input: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self> {
                match <u8 as $crate::Wire>::take(input)? % $count {
                    $($tag => {
                        $(let $field = $crate::Wire::take(input)?;)*
                        Ok(Self::$variant { $($field),* })
                    })*
                    _ => Err(arbitrary::Error::IncorrectFormat),
                }
            }

            fn put(&self, input: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        input.push($tag);
                        $($crate::Wire::put($field, input);)*
                    })*
                }
            }
        }
    };
}

/// As many values as a byte says, `most` at most.
pub(crate) fn take_list<T: Wire>(input: &mut Unstructured<'_>, most: u8) -> Result<Vec<T>> {
    (0..u8::take(input)? % (most + 1)).map(|_| T::take(input)).collect()
}

/// Values until the input ends, `most` at most.
pub(crate) fn take_rest<T: Wire>(input: &mut Unstructured<'_>, most: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    while !input.is_empty() && values.len() < most {
        values.push(T::take(input)?);
    }
    Ok(values)
}

/// The counterpart of [`take_list`].
pub(crate) fn put_list<T: Wire>(values: &[T], input: &mut Vec<u8>) {
    input.push(u8::try_from(values.len()).unwrap_or(u8::MAX));
    values.iter().for_each(|value| value.put(input));
}
