//! The shape of every code point: a newtype over its integer, with the IANA names as constants, so that
//! a value nobody knows yet survives a round trip.

/// Declares a code point type.
///
/// The type is a transparent newtype over its integer, with one constant for each registered name and a
/// `Display` that prints the name, or the type's name and the number where the registry has none.
///
/// ```
/// ipsec_types::code_points! {
///     /// A colour of the imaginary registry.
///     pub struct Colour(u8) {
///         /// As a ripe tomato.
///         RED = 1, "RED";
///     }
/// }
/// assert_eq!(Colour::RED.to_string(), "RED");
/// assert_eq!(Colour(9).to_string(), "Colour(9)");
/// assert_eq!(Colour(9).name(), None);
/// ```
#[macro_export]
macro_rules! code_points {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($int:ty) {
            $( $(#[$cmeta:meta])* $konst:ident = $value:expr, $text:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        $vis struct $name(pub $int);

        impl $name {
            $( $(#[$cmeta])* pub const $konst: Self = Self($value); )*

            /// Every value that the registry names, in its order.
            pub const REGISTERED: &'static [Self] = &[ $( Self($value) ),* ];

            /// The registered name, if there is one.
            #[must_use]
            pub const fn name(self) -> ::core::option::Option<&'static str> {
                match self.0 {
                    $( $value => ::core::option::Option::Some($text), )*
                    _ => ::core::option::Option::None,
                }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self.name() {
                    ::core::option::Option::Some(name) => f.pad(name),
                    ::core::option::Option::None => {
                        ::core::write!(f, ::core::concat!(::core::stringify!($name), "({})"), self.0)
                    }
                }
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }

        impl ::core::convert::From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }

        impl ::core::convert::From<$name> for $int {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}
