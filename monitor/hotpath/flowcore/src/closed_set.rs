//! Closed sets: enums without fields whose members have a name and an index.

/// Make such an enum. The names are what stands in records and in labels of metrics; the index is the
/// place in a counter array and the code in a column.
macro_rules! closed_set {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $member:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $member,)+ }

        impl $name {
            /// How many there are.
            pub const COUNT: usize = [$($text),+].len();
            /// Their names, in the order of their indices.
            pub const NAMES: [&'static str; Self::COUNT] = [$($text),+];

            /// The member at an index.
            pub fn from_index(index: u8) -> Option<Self> {
                [$($name::$member),+].get(usize::from(index)).copied()
            }

            /// Place in a counter array.
            #[inline]
            pub fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use closed_set;
