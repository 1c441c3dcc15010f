//! When a certificate runs out, and when that is worth saying.
//!
//! A renewal that failed silently shows on the day when every client turns away at once. So it is said in time: from two weeks
//! before the end once a day, for renewals come a month before it (ACME's clients) or a few days (short-lived ones, whose last
//! third counts instead), and once more when it has happened.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before the end it is said, for certificates that are long-lived.
const NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// From when to when a certificate holds (RFC 5280, section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

/// What is to be said of a certificate's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It holds for long enough.
    Far,
    /// It ends in so many whole days.
    Days(u64),
    /// It is over.
    Past,
}

impl Validity {
    /// What the certificate says; none when it cannot be read, of which rustls will complain itself.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
        Some(Self { from: validity.not_before.to_system_time(), until: validity.not_after.to_system_time() })
    }

    /// What is to be said at `now`.
    pub(crate) fn expiry(&self, now: SystemTime) -> Expiry {
        let Ok(left) = self.until.duration_since(now) else { return Expiry::Past };
        let lifetime = self.until.duration_since(self.from).unwrap_or_default();
        if left > NOTICE.min(lifetime / 3) {
            Expiry::Far
        } else {
            Expiry::Days(left.as_secs() / DAY.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validity(days: u32) -> Validity {
        let from = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        Validity { from, until: from + days * DAY }
    }

    #[test]
    fn the_end_is_said_two_weeks_before_it_or_in_the_last_third() {
        let year = validity(365);
        let before = |validity: Validity, days: u32| validity.expiry(validity.until - days * DAY);
        assert_eq!(before(year, 15), Expiry::Far);
        assert_eq!(before(year, 14), Expiry::Days(14));
        assert_eq!(before(year, 0), Expiry::Days(0));
        assert_eq!(year.expiry(year.until + Duration::from_secs(1)), Expiry::Past);
        let week = validity(6);
        assert_eq!(before(week, 3), Expiry::Far);
        assert_eq!(before(week, 2), Expiry::Days(2));
    }

    #[test]
    fn a_certificate_says_until_when_it_holds() {
        let mut asked = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        asked.not_before = rcgen::date_time_ymd(2025, 1, 1);
        asked.not_after = rcgen::date_time_ymd(2025, 1, 31);
        let made = asked.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let validity = Validity::of(made.der()).unwrap();
        assert_eq!(validity.until.duration_since(validity.from).unwrap(), 30 * DAY);
        assert_eq!(Validity::of(&CertificateDer::from(b"no certificate".as_slice())), None);
    }
}
