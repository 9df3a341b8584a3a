//! Numbers of fewer bits that stand for the same double (IEEE 754).

/// The least half-precision number above 0: 2^-24.
const LEAST_HALF: f64 = 1.0 / 16_777_216.0;

/// The single-precision number, if it is exactly that one.
#[expect(clippy::cast_possible_truncation, reason = "what does not survive it is filtered out")]
pub(super) fn to_single(number: f64) -> Option<f32> {
    let single = number as f32;
    (f64::from(single) == number).then_some(single)
}

/// The half-precision bits of a finite number that is not zero, if they hold it exactly.
pub(crate) fn to_half(number: f64) -> Option<u16> {
    let bits = number.to_bits();
    // Eleven digits are all that such a number has, and most numbers have more.
    if bits & ((1 << 42) - 1) != 0 {
        return None;
    }
    let exponent = i64::try_from(bits >> 52 & 0x7ff).expect("eleven bits") - 1023;
    let fraction = bits & ((1 << 52) - 1);
    let (digits, dropped) = match exponent {
        -14..=15 => ((exponent.cast_unsigned().wrapping_add(15) << 52) | fraction, 42),
        -24..=-15 => ((1 << 52) | fraction, 42 + exponent.abs_diff(-14)),
        _ => return None,
    };
    let sign = bits >> 63 << 15;
    let is_exact = digits & ((1 << dropped) - 1) == 0;
    u16::try_from(sign | digits >> dropped).ok().filter(|_| is_exact)
}

/// The number that half-precision bits stand for.
pub(crate) fn from_half(bits: u16) -> f64 {
    let (exponent, fraction) = (u64::from(bits >> 10 & 0x1f), u64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => f64::from(bits & 0x3ff) * LEAST_HALF,
        31 if fraction == 0 => f64::INFINITY,
        31 => f64::NAN,
        _ => f64::from_bits((exponent + 1023 - 15) << 52 | fraction << 42),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
