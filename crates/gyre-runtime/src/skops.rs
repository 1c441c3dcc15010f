use crate::error::Unread;
use crate::format::Hints;
use crate::native::Native;
pub(crate) fn archive(_b: &[u8], _h: &Hints<'_>) -> Result<Native, Unread> {
    Err(Unread::unsupported("skops", ""))
}
