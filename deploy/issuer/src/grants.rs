//! What waits to be exchanged: authorization codes and device codes, bounded in number and in time.
//!
//! Both are random and found by their SHA-256, so that how long a look-up takes says nothing about them.

use crate::email::Email;
use crate::error::{Kind, OAuthError};
use crate::pkce::Challenge;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How many of each kind may wait at once.
pub(crate) const CAPACITY: usize = 1024;
/// RFC 6749 §4.1.2 recommends at most ten minutes; the out-of-band page needs one or two.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How long a person may take to walk to a browser.
pub(crate) const DEVICE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// RFC 8628 §3.2 `interval`.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 8628 §3.5: `slow_down` adds five seconds.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// A client that sleeps exactly the interval must not be told off for a fast network.
const POLL_TOLERANCE: Duration = Duration::from_millis(200);
/// RFC 8628 §6.1: consonants only, so that no word appears; 20⁸ codes.
const USER_CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What an authorization code stands for.
#[derive(Clone, Debug)]
pub(crate) struct CodeGrant {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Challenge,
    pub(crate) nonce: Option<String>,
    pub(crate) email: Email,
}

/// What a device code stands for.
#[derive(Clone, Debug)]
pub(crate) struct DeviceGrant {
    pub(crate) client_id: String,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) nonce: Option<String>,
}

#[derive(Debug)]
enum Decision {
    Pending,
    Denied,
    Approved(Email),
}

struct Device {
    grant: DeviceGrant,
    user_code: String,
    decision: Decision,
    interval: Duration,
    polled: Option<SystemTime>,
}

struct Expiring<T> {
    value: T,
    until: SystemTime,
}

type Key = [u8; 32];

/// One kind of waiting grant.
struct Waiting<T>(Mutex<HashMap<Key, Expiring<T>>>);

impl<T> Waiting<T> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// A panic elsewhere leaves the map whole: each change is a single insertion or removal.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Expiring<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, secret: &str, value: T, until: SystemTime, now: SystemTime) -> Result<(), OAuthError> {
        let mut map = self.lock();
        if map.len() >= CAPACITY {
            map.retain(|_, waiting| waiting.until > now);
        }
        if map.len() >= CAPACITY {
            return Err(OAuthError::new(
                Kind::TemporarilyUnavailable,
                format!("{CAPACITY} sign-ins are waiting already"),
            ));
        }
        map.insert(key(secret), Expiring { value, until });
        Ok(())
    }
}

fn key(secret: &str) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()).as_ref());
    key
}

fn random<const N: usize>() -> Result<[u8; N], OAuthError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| OAuthError::new(Kind::ServerError, "no randomness is available"))?;
    Ok(bytes)
}

/// 256 random bits as text.
fn random_secret() -> Result<String, OAuthError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// `XXXX-XXXX`.
fn random_user_code() -> Result<String, OAuthError> {
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        for byte in random::<16>()? {
            if code.len() == 4 {
                code.push('-');
            }
            // The low five bits name one of 32 letters; the twelve that are not in the alphabet are drawn again.
            let letter = USER_CODE_ALPHABET
                .get(usize::from(byte & 31))
                .copied()
                .map(char::from);
            code.extend(letter.filter(|_| code.len() < 9));
        }
    }
    Ok(code)
}

/// A user code as a person may type it: any case, with or without the hyphen or spaces (RFC 8628 §6.1).
fn normalize_user_code(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// All waiting grants of one issuer.
pub(crate) struct Grants {
    codes: Waiting<CodeGrant>,
    devices: Waiting<Device>,
}

/// The two halves of a new device grant.
pub(crate) struct DeviceCodes {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

impl Grants {
    pub(crate) fn new() -> Self {
        Self {
            codes: Waiting::new(),
            devices: Waiting::new(),
        }
    }

    /// A code for `grant`.
    pub(crate) fn issue_code(&self, grant: CodeGrant, now: SystemTime) -> Result<String, OAuthError> {
        let code = random_secret()?;
        let until = now.checked_add(CODE_LIFETIME).unwrap_or(now);
        self.codes.insert(&code, grant, until, now)?;
        Ok(code)
    }

    /// Takes the grant of a code out, so that the code works once (RFC 6749 §4.1.2).
    pub(crate) fn redeem_code(&self, code: &str, now: SystemTime) -> Result<CodeGrant, OAuthError> {
        let refused = || OAuthError::invalid_grant("the code is unknown, used or expired");
        let waiting = self.codes.lock().remove(&key(code)).ok_or_else(refused)?;
        if waiting.until <= now {
            Err(refused())
        } else {
            Ok(waiting.value)
        }
    }

    /// A device code and its user code for `grant`.
    pub(crate) fn issue_device(
        &self,
        grant: DeviceGrant,
        now: SystemTime,
    ) -> Result<DeviceCodes, OAuthError> {
        let codes = DeviceCodes {
            device_code: random_secret()?,
            user_code: random_user_code()?,
        };
        let device = Device {
            grant,
            user_code: normalize_user_code(&codes.user_code),
            decision: Decision::Pending,
            interval: POLL_INTERVAL,
            polled: None,
        };
        let until = now.checked_add(DEVICE_LIFETIME).unwrap_or(now);
        self.devices.insert(&codes.device_code, device, until, now)?;
        Ok(codes)
    }

    /// Records what the person said: an address, or no. False if no pending grant has this user code.
    pub(crate) fn decide_device(&self, user_code: &str, answer: Option<Email>, now: SystemTime) -> bool {
        let wanted = normalize_user_code(user_code);
        let mut devices = self.devices.lock();
        let pending = devices.values_mut().find(|waiting| {
            waiting.until > now
                && matches!(waiting.value.decision, Decision::Pending)
                && verify_slices_are_equal(waiting.value.user_code.as_bytes(), wanted.as_bytes()).is_ok()
        });
        let Some(waiting) = pending else {
            return false;
        };
        waiting.value.decision = answer.map_or(Decision::Denied, Decision::Approved);
        true
    }

    /// One poll (RFC 8628 §3.4, §3.5). A grant that was approved or denied is gone after it.
    pub(crate) fn poll_device(
        &self,
        device_code: &str,
        client_id: &str,
        now: SystemTime,
    ) -> Result<(DeviceGrant, Email), OAuthError> {
        let key = key(device_code);
        let mut devices = self.devices.lock();
        let unknown = || OAuthError::invalid_grant("the device code is unknown or used");
        let waiting = devices.get_mut(&key).ok_or_else(unknown)?;
        if waiting.value.grant.client_id != client_id {
            return Err(unknown());
        }
        if waiting.until <= now {
            devices.remove(&key);
            return Err(OAuthError::new(
                Kind::ExpiredToken,
                "the device code has expired: start again",
            ));
        }
        if let Decision::Pending = waiting.value.decision {
            let device = &mut waiting.value;
            // A clock that went backwards makes no poll early.
            let since = device.polled.and_then(|last| now.duration_since(last).ok());
            device.polled = Some(now);
            if since.is_some_and(|since| since.saturating_add(POLL_TOLERANCE) < device.interval) {
                device.interval = device.interval.saturating_add(SLOW_DOWN);
                return Err(OAuthError::new(
                    Kind::SlowDown,
                    format!("poll every {} seconds at most", device.interval.as_secs()),
                ));
            }
            return Err(OAuthError::new(
                Kind::AuthorizationPending,
                "nobody has answered yet",
            ));
        }
        match devices.remove(&key).map(|waiting| waiting.value) {
            Some(Device {
                grant,
                decision: Decision::Approved(email),
                ..
            }) => Ok((grant, email)),
            Some(Device {
                decision: Decision::Denied,
                ..
            }) => Err(OAuthError::new(Kind::AccessDenied, "the sign-in was refused")),
            Some(Device {
                decision: Decision::Pending,
                ..
            })
            | None => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests;
