//! The 64-bit checksum of packets, messages and checkpoint blocks.
//!
//! A reflected CRC-64 with an unusual polynomial whose initial register is the polynomial itself [WIRE-53]. For an
//! initial register r, write F(r, B) for the register after B. F is linear, so F(r, A || B) can be had from the
//! checksums of A and B alone; [`combine`] does that.

use std::sync::LazyLock;

use crc_fast::{CrcParams, Digest};

/// P, which is also the checksum of the empty string [WIRE-53] [WIRE-55].
pub const EMPTY: u64 = 0xA795_D0F2_9B4D_CDF8;
/// P in the notation of CRC catalogues: highest power first.
const POLYNOMIAL: u64 = EMPTY.reverse_bits();
/// What the catalogues call the check: the checksum of the digits 1 to 9.
const CHECK: u64 = 0x69BC_7A5D_9767_AF72;

static PARAMETERS: LazyLock<CrcParams> =
    LazyLock::new(|| CrcParams::new("RSL", 64, POLYNOMIAL, EMPTY, true, 0, CHECK));

/// The checksum of `bytes` [WIRE-53].
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    advance(EMPTY, bytes)
}

/// The checksum of A || B from the checksum of A, the checksum of B and the length of B [WIRE-56].
#[must_use]
pub fn combine(a: u64, b: u64, length_b: u64) -> u64 {
    // F(a, B) = F(a xor P, zeroes) xor F(P, B), and a zero byte is a multiplication by x^8.
    let mut zeroes = a ^ EMPTY;
    let mut rest = length_b;
    while rest > 0 {
        zeroes = multiply(zeroes, POWERS[rest.trailing_zeros() as usize]);
        rest &= rest - 1;
    }
    zeroes ^ b
}

/// x^(8 * 2^k) for each k: what 2^k zero bytes multiply the register with.
static POWERS: [u64; 64] = {
    let mut powers = [0; 64];
    // The lowest bit stands for the highest power: 1 is the top bit, x^8 eight below it.
    powers[0] = 1 << (63 - 8);
    let mut k = 1;
    while k < 64 {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// The product of two polynomials modulo the one of the checksum.
const fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    let mut bit = 1 << 63;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 1 { (b >> 1) ^ EMPTY } else { b >> 1 };
        bit >>= 1;
    }
    product
}

/// The register after `bytes` when it starts as `register`.
fn advance(register: u64, bytes: &[u8]) -> u64 {
    let mut parameters = *PARAMETERS;
    parameters.init = register;
    parameters.init_algorithm = register;
    let mut digest = Digest::new_with_params(parameters);
    digest.update(bytes);
    digest.finalize()
}

/// The checksum of bytes that come in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    register: u64,
}

impl Checksum {
    /// Nothing summed yet.
    #[must_use]
    pub const fn new() -> Checksum {
        Checksum { register: EMPTY }
    }

    /// Goes on where a checksum that was stored left off [WIRE-56].
    #[must_use]
    pub const fn resume(stored: u64) -> Checksum {
        Checksum { register: stored }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.register = advance(self.register, bytes);
    }

    /// Adds bytes of which only checksum and length are known.
    pub fn append(&mut self, checksum: u64, length: u64) {
        self.register = combine(self.register, checksum, length);
    }

    /// The checksum of everything added; more may be added afterwards.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.register
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Checksum::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static REFERENCE: crc::Algorithm<u64> = crc::Algorithm {
        width: 64,
        poly: POLYNOMIAL,
        init: POLYNOMIAL,
        refin: true,
        refout: true,
        xorout: 0,
        check: CHECK,
        residue: 0,
    };

    fn reference(bytes: &[u8]) -> u64 {
        crc::Crc::<u64>::new(&REFERENCE).checksum(bytes)
    }

    /// The definition, bit by bit.
    fn bitwise(register: u64, bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .fold(register, |register, &byte| (register >> 8) ^ table((register ^ u64::from(byte)) & 0xFF))
    }

    fn table(index: u64) -> u64 {
        (0..8).fold(index, |x, _| if x & 1 == 1 { (x >> 1) ^ EMPTY } else { x >> 1 })
    }

    /// [WIRE-54]
    #[test]
    fn the_table_has_its_check_values() {
        for (index, value) in [
            (0, 0),
            (1, 0xC807_DD08_C667_7A5E),
            (2, 0xDF24_1BF4_BA55_6F4D),
            (0x40, 0x53CA_E879_4DA6_E6FC),
            (0x80, EMPTY),
            (0xFF, 0x82E4_2BA4_AFAB_A09A),
        ] {
            assert_eq!(table(index), value, "T[{index:#x}]");
        }
    }

    /// [WIRE-53] [WIRE-55] [WIRE-56]
    #[test]
    fn check_values_agree() {
        let all: Vec<u8> = (0..=255).collect();
        for (input, value) in [
            (&b""[..], 0xA795_D0F2_9B4D_CDF8),
            (b"a", 0xD62B_AFC9_4E21_52F3),
            (b"123456789", CHECK),
            (&all, 0xB901_88FF_122A_BD99),
            (&all[..100], 0x141E_F68C_9DB6_D8AF),
            (&[0; 512], 0xC683_FF70_C656_4603),
            (b"hello state", 0xD0CA_3740_1B67_9068),
        ] {
            assert_eq!(checksum(input), value);
            assert_eq!(reference(input), value);
        }
        let mut resumed = Checksum::resume(0x141E_F68C_9DB6_D8AF);
        resumed.update(&all[100..]);
        assert_eq!(resumed.value(), 0xB901_88FF_122A_BD99);
    }

    proptest! {
        /// [WIRE-53] [WIRE-56]: fast, reference and definition agree, whole, in pieces and combined.
        #[test]
        fn every_way_to_sum_agrees(bytes in proptest::collection::vec(any::<u8>(), 0..3000), cut: u16) {
            let (a, b) = bytes.split_at(usize::from(cut) % (bytes.len() + 1));
            let whole = checksum(&bytes);
            prop_assert_eq!(whole, reference(&bytes));
            prop_assert_eq!(whole, bitwise(EMPTY, &bytes));
            let mut pieces = Checksum::new();
            pieces.update(a);
            prop_assert_eq!(bitwise(pieces.value(), b), whole);
            pieces.update(b);
            prop_assert_eq!(pieces.value(), whole);
            prop_assert_eq!(combine(checksum(a), checksum(b), b.len() as u64), whole);
            let mut appended = Checksum::resume(checksum(a));
            appended.append(checksum(b), b.len() as u64);
            prop_assert_eq!(appended.value(), whole);
            let combined =
                crc_fast::checksum_combine_with_params(*PARAMETERS, checksum(a), checksum(b), b.len() as u64);
            prop_assert_eq!(combined, whole);
            let crc = crc::Crc::<u64>::new(&REFERENCE);
            let mut digest = crc.digest_with_initial(checksum(a).reverse_bits());
            digest.update(b);
            prop_assert_eq!(digest.finalize(), whole);
        }

        /// [WIRE-55] [WIRE-57]: the register is 0 behind the stored checksum, and a leading 0x80 replaces the
        /// initial register.
        #[test]
        fn equivalent_forms_hold(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let sum = checksum(&bytes);
            prop_assert_eq!(advance(sum, &sum.to_le_bytes()), 0);
            let prefixed = [&[0x80][..], &bytes].concat();
            prop_assert_eq!(advance(0, &prefixed), sum);
        }
    }
}
