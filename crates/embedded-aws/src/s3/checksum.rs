//! The checksums that S3 accepts, in headers and trailers, of objects and of parts.
//!
//! Values are base64 of the big-endian digest; a composite one ends in `-N`.

use super::error;
use crate::meta::record::{Algorithm, ChecksumKind};
use aws_lc_rs::digest;
use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use crc_fast::CrcAlgorithm;
use s3s::{S3Result, TrailingHeaders, s3_error};

/// Copies a checksum into the output field of its algorithm.
macro_rules! show_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::meta::record::Algorithm::Crc32 => $output.checksum_crc32 = Some($value),
            $crate::meta::record::Algorithm::Crc32c => $output.checksum_crc32c = Some($value),
            $crate::meta::record::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = Some($value),
            $crate::meta::record::Algorithm::Sha1 => $output.checksum_sha1 = Some($value),
            $crate::meta::record::Algorithm::Sha256 => $output.checksum_sha256 = Some($value),
        }
    };
}

/// The checksum fields of an input, by algorithm.
macro_rules! sent_checksums {
    ($input:expr) => {
        [
            ($crate::meta::record::Algorithm::Crc32, $input.checksum_crc32.take()),
            ($crate::meta::record::Algorithm::Crc32c, $input.checksum_crc32c.take()),
            ($crate::meta::record::Algorithm::Crc64Nvme, $input.checksum_crc64nvme.take()),
            ($crate::meta::record::Algorithm::Sha1, $input.checksum_sha1.take()),
            ($crate::meta::record::Algorithm::Sha256, $input.checksum_sha256.take()),
        ]
    };
}

pub(super) use {sent_checksums, show_checksum};

/// The five checksum fields of a request.
pub(super) type Sent = [(Algorithm, Option<String>); 5];

/// A checksum that the client says its body has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    Header(Algorithm, String),
    Trailer(Algorithm),
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(super) fn parse(name: &str) -> S3Result<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            s3_error!(
                InvalidRequest,
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
            )
        })
    }

    /// Whether the checksum of a whole can be worked out from those of its parts.
    pub(super) fn is_crc(self) -> bool {
        !matches!(self, Self::Sha1 | Self::Sha256)
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Digest bytes.
    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl ChecksumKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// One running checksum.
pub(super) enum Hasher {
    Crc(Algorithm, Box<crc_fast::Digest>),
    Sha(Algorithm, digest::Context),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm.crc() {
            Some(crc) => Self::Crc(algorithm, Box::new(crc_fast::Digest::new(crc))),
            None if algorithm == Algorithm::Sha1 => {
                Self::Sha(algorithm, digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY))
            }
            None => Self::Sha(algorithm, digest::Context::new(&digest::SHA256)),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, crc) => crc.update(bytes),
            Self::Sha(_, sha) => sha.update(bytes),
        }
    }

    /// The algorithm and the value in base64.
    pub(super) fn finish(self) -> (Algorithm, String) {
        match self {
            Self::Crc(algorithm, crc) => (algorithm, encode_crc(algorithm, crc.finalize())),
            Self::Sha(algorithm, sha) => (algorithm, STANDARD.encode(sha.finish())),
        }
    }
}

/// Reads what a request claims: at most one checksum, in a header or announced as a trailer.
pub(super) fn claim(sent: Sent, headers: &HeaderMap, sdk_algorithm: Option<&str>) -> S3Result<Option<Claim>> {
    let mut claims = Vec::new();
    for (algorithm, value) in sent {
        if let Some(value) = value {
            if decode(algorithm, &value).is_none() {
                return Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header()));
            }
            claims.push(Claim::Header(algorithm, value));
        }
    }
    for trailer in headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok()) {
        for name in trailer.split(',').map(str::trim) {
            let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name));
            match known {
                Some(algorithm) => claims.push(Claim::Trailer(algorithm)),
                None => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The value specified in the x-amz-trailer header is not supported"
                    ));
                }
            }
        }
    }
    if claims.len() > 1 {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        ));
    }
    let Some(claim) = claims.pop() else {
        return match sdk_algorithm {
            Some(name) => {
                Algorithm::parse(name)?;
                Err(s3_error!(
                    InvalidRequest,
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
                ))
            }
            None => Ok(None),
        };
    };
    if let Some(name) = sdk_algorithm
        && Algorithm::parse(name)? != claim.algorithm()
    {
        return Err(s3_error!(InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."));
    }
    Ok(Some(claim))
}

impl Claim {
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Header(algorithm, _) | Self::Trailer(algorithm) => *algorithm,
        }
    }

    /// Compares the claim with what was computed, once the body and its trailers have arrived.
    pub(super) fn check(&self, computed: &str, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        let algorithm = self.algorithm();
        let claimed = match self {
            Self::Header(_, value) => value.clone(),
            Self::Trailer(_) => trailers
                .and_then(|trailers| {
                    trailers.read(|map| Some(map.get(algorithm.header())?.to_str().ok()?.trim().to_owned()))
                })
                .flatten()
                .ok_or_else(|| {
                    error::custom(
                        "MalformedTrailerError",
                        400,
                        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
                    )
                })?,
        };
        if decode(algorithm, &claimed).is_none() {
            return Err(s3_error!(InvalidRequest, "Value for {} trailing header is invalid.", algorithm.header()));
        }
        if claimed == computed {
            return Ok(());
        }
        Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", algorithm.name()))
    }
}

/// The checksum over the checksums of parts, with `-N`.
pub(super) fn composite<'v>(algorithm: Algorithm, parts: impl Iterator<Item = &'v str>) -> Option<String> {
    let mut hasher = Hasher::new(algorithm);
    let mut count = 0;
    for value in parts {
        hasher.update(&decode(algorithm, value)?);
        count += 1;
    }
    Some(format!("{}-{count}", hasher.finish().1))
}

/// The CRC of a whole from the CRCs and sizes of its parts; `None` for digests that cannot be joined.
pub(super) fn joined<'v>(algorithm: Algorithm, parts: impl Iterator<Item = (&'v str, u64)>) -> Option<String> {
    let crc = algorithm.crc()?;
    let mut whole = crc_fast::Digest::new(crc).finalize();
    for (value, size) in parts {
        let part = decode(algorithm, value)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        whole = crc_fast::checksum_combine(crc, whole, part, size);
    }
    Some(encode_crc(algorithm, whole))
}

/// The digest bytes, when the text is base64 of the right length.
pub(super) fn decode(algorithm: Algorithm, value: &str) -> Option<Vec<u8>> {
    STANDARD.decode(value).ok().filter(|bytes| bytes.len() == algorithm.length())
}

fn encode_crc(algorithm: Algorithm, value: u64) -> String {
    STANDARD.encode(&value.to_be_bytes()[8 - algorithm.length()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish().1
    }

    #[test]
    fn values_are_those_of_the_specifications() {
        // The check values of the CRC catalogue and of FIPS 180, over "123456789" and "abc".
        assert_eq!(of(Algorithm::Crc32, b"123456789"), STANDARD.encode(0xcbf4_3926_u32.to_be_bytes()));
        assert_eq!(of(Algorithm::Crc32c, b"123456789"), STANDARD.encode(0xe306_9283_u32.to_be_bytes()));
        assert_eq!(of(Algorithm::Crc64Nvme, b"123456789"), STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        assert_eq!(of(Algorithm::Sha1, b"abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        assert_eq!(of(Algorithm::Sha256, b"abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn joined_crcs_equal_the_crc_of_the_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts: Vec<(String, u64)> =
                bytes.chunks(33_333).map(|part| (of(algorithm, part), part.len() as u64)).collect();
            let joined = joined(algorithm, parts.iter().map(|(value, size)| (value.as_str(), *size)));
            assert_eq!(joined, Some(of(algorithm, &bytes)));
        }
        assert_eq!(joined(Algorithm::Crc64Nvme, std::iter::empty()), Some(of(Algorithm::Crc64Nvme, b"")));
        assert_eq!(joined(Algorithm::Sha256, std::iter::empty()), None);
    }

    #[test]
    fn a_composite_is_a_digest_over_digests() {
        let part = of(Algorithm::Sha256, b"abc");
        let raw = STANDARD.decode(&part).unwrap();
        let expected = format!("{}-2", of(Algorithm::Sha256, &[raw.clone(), raw].concat()));
        assert_eq!(composite(Algorithm::Sha256, [part.as_str(); 2].into_iter()), Some(expected));
    }

    #[test]
    fn a_request_claims_at_most_one_well_formed_checksum() {
        let sent = |crc: Option<&str>, sha: Option<&str>| {
            [
                (Algorithm::Crc32, crc),
                (Algorithm::Crc32c, None),
                (Algorithm::Crc64Nvme, None),
                (Algorithm::Sha1, None),
                (Algorithm::Sha256, sha),
            ]
            .map(|(algorithm, value)| (algorithm, value.map(str::to_owned)))
        };
        let none = HeaderMap::new();
        let mut trailer = HeaderMap::new();
        trailer.insert("x-amz-trailer", "x-amz-checksum-sha256".parse().unwrap());
        assert_eq!(claim(sent(None, None), &none, None).unwrap(), None);
        assert_eq!(claim(sent(None, None), &trailer, Some("SHA256")).unwrap(), Some(Claim::Trailer(Algorithm::Sha256)));
        assert!(claim(sent(Some("AAAAAA=="), None), &none, Some("CRC32")).unwrap().is_some());
        assert!(claim(sent(Some("AAAAAA=="), None), &trailer, None).is_err());
        assert!(claim(sent(Some("AAAA"), None), &none, None).is_err());
        assert!(claim(sent(Some("AAAAAA=="), None), &none, Some("SHA256")).is_err());
        assert!(claim(sent(None, None), &none, Some("CRC32")).is_err());
        assert!(claim(sent(None, None), &none, Some("XXHASH3")).is_err());
    }
}
