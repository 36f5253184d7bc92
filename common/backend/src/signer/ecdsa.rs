//! ECDSA signatures as hardware makes them: two integers of fixed length, one after the other (IEEE P1363).

use common_pki::key::SignError;
use der::asn1::UintRef;
use der::{Encode, Sequence};

#[derive(Sequence)]
struct Signature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The same as `Ecdsa-Sig-Value` in DER (RFC 3279 §2.2.3), as every certificate and log has it.
pub(super) fn to_der(fixed: &[u8]) -> Result<Vec<u8>, SignError> {
    let wrong = || SignError::Failed(format!("an ECDSA signature of {} octets came", fixed.len()));
    let (r, s) = fixed
        .split_at_checked(fixed.len().div_ceil(2))
        .filter(|(r, s)| r.len() == s.len() && !r.is_empty())
        .ok_or_else(wrong)?;
    let integer = |bytes| UintRef::new(bytes).map_err(|_| wrong());
    let signature = Signature {
        r: integer(r)?,
        s: integer(s)?,
    };
    signature.to_der().map_err(|_| wrong())
}
