//! Amounts of money in a currency's smallest unit, by the exponents of ISO 4217.

use jsonata_core::value::JValue;

use super::value::text_of;
use super::{Answer, Args, Function};

/// Currencies without a smaller unit.
const NONE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Those whose unit has a thousand parts.
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Those whose unit has ten thousand parts.
const FOUR: &str = "CLF UYW";
/// Those whose unit has a hundred parts.
const TWO: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD \
    CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD \
    HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR \
    MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP \
    SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER ZAR ZMW ZWL";

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "convertCurrencyToSubunit", call: to_subunit },
    Function { name: "convertCurrencyFromSubunit", call: from_subunit },
];

fn exponent(code: &str) -> Option<i32> {
    let lists = [(NONE, 0), (TWO, 2), (THREE, 3), (FOUR, 4)];
    lists
        .into_iter()
        .find(|(codes, _)| codes.split_whitespace().any(|other| other == code))
        .map(|(_, digits)| digits)
}

/// The amount and the currency's exponent; `None` when either is unknown, and the amount passes as it is.
fn read(args: &Args) -> Option<(f64, i32)> {
    let amount = text_of(args.get(0)).trim().parse::<f64>().ok().filter(|amount| amount.is_finite())?;
    Some((amount, exponent(args.get(1).as_str()?)?))
}

/// What is less than the smallest unit falls away; but `19.99` has 1999 cents, though as a double it has a little less.
fn to_subunit(args: &Args) -> Answer {
    let Some((amount, digits)) = read(args) else { return Ok(args.get(0).clone()) };
    let exact = amount * 10f64.powi(digits);
    let nearest = exact.round();
    let tolerance = exact.abs().max(1.0) * 1e-12;
    Ok(JValue::Number(if (exact - nearest).abs() <= tolerance { nearest } else { exact.floor() }))
}

/// A string with all the digits of the currency: `"12.30"`.
fn from_subunit(args: &Args) -> Answer {
    let Some((amount, digits)) = read(args) else { return Ok(args.get(0).clone()) };
    let places = usize::try_from(digits).unwrap_or(0);
    Ok(JValue::string(format!("{:.places$}", amount / 10f64.powi(digits))))
}
