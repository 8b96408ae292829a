//! Pictures that show nothing: for now their names only.

/// What is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFault {
    /// The same picture again and again.
    Frozen,
    /// Nothing but black.
    Black,
    /// Nothing but white.
    BlownOut,
}

impl PictureFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frozen, Self::Black, Self::BlownOut];

    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::BlownOut => "blown_out",
        }
    }
}
