//! The embedded endpoint, asked as KMS: a line with the operation, then its JSON; `$KEY` is a key that is there.

use serde_json::{Value, json};

use crate::input;
use crate::s3::endpoint;
use crate::wire::{Answer, Wish};

pub(crate) fn check(bytes: &[u8]) {
    let (operation, body) = input::first_line(bytes);
    let Some(operation) = std::str::from_utf8(operation).ok().filter(|name| name.bytes().all(|b| b.is_ascii_graphic()))
    else {
        return;
    };
    let used = endpoint();
    let endpoint = used.get();
    let body = input::replace(body, b"$KEY", endpoint.key.as_bytes());
    let answer = endpoint.kms(operation, &body).unwrap();
    let answered = sound(operation, &body, &answer);

    if answer.status == 200 && operation == "Encrypt" {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let mut wish = json!({ "CiphertextBlob": answered["CiphertextBlob"] });
        if let Some(context) = asked.get("EncryptionContext").filter(|context| !context.is_null()) {
            wish["EncryptionContext"] = context.clone();
        }
        let decrypted = endpoint.kms("Decrypt", wish.to_string().as_bytes()).unwrap();
        let decrypted = sound("Decrypt", wish.to_string().as_bytes(), &decrypted);
        assert_eq!(decrypted["Plaintext"], asked["Plaintext"], "{asked}");
        wish["EncryptionContext"] = json!({ "other": "context" });
        let refused = endpoint.kms("Decrypt", wish.to_string().as_bytes()).unwrap();
        assert!(refused.status == 400 || asked["EncryptionContext"] == wish["EncryptionContext"], "{asked}");
    }

    // The same, and nobody has signed it.
    let mut wish = Wish { method: "POST".to_owned(), target: "/".to_owned(), body, ..Wish::default() };
    wish.add("x-amz-target", format!("TrentService.{operation}"));
    let refused = endpoint.unsigned(&wish).unwrap();
    assert_eq!(refused.status, 400, "what nobody has signed is done: {}", refused.text());
}

fn sound(operation: &str, body: &[u8], answer: &Answer) -> Value {
    let told = || format!("{operation} {}: {} {}", String::from_utf8_lossy(body), answer.status, answer.text());
    assert!(matches!(answer.status, 200 | 400), "{}", told());
    if answer.body.is_empty() {
        return Value::Null;
    }
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", told()));
    assert_eq!(json.get("__type").is_some(), answer.status == 400, "{}", told());
    json
}
