//! A tariff's prices as they stand in JSON, there and back.

use domain::tariff::{DateRange, HalfHours, IdleFee, Rate, Rates, Restrictions, TariffElement, TariffTerms, TaxRates};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};
use crate::wire::{Kwh, PercentText, Weekday, WholeMinutes, Yuan, YuanPerKwh, YuanPerMinute};

/// Elements with restrictions: the first that fits a moment prices it. The last has no restrictions, so that every moment has a price.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermsBody {
    /// In their order.
    #[schema(min_items = 1, max_items = 64)]
    elements: Vec<ElementBody>,
    /// What idle time costs (占位费), if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<IdleFeeBody>,
    /// What of each fee is tax.
    tax: TaxBody,
}

/// The prices of one part of the year, the week or the session.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ElementBody {
    /// When it holds; always, when not given.
    #[serde(default)]
    restrictions: RestrictionsBody,
    /// The day's 48 half-hours from 00:00 on the station's clock: S sharp, P peak, F flat, V valley (尖峰平谷).
    #[schema(pattern = "^[SPFV]{48}$", example = "VVVVVVVVVVVVVVFFFFPPPPSSPPFFFFFFPPPPSSSSPPPPFFVV")]
    half_hours: String,
    /// What each of them costs.
    rates: RatesBody,
}

/// When an element holds.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestrictionsBody {
    /// On these weekdays, 1 (Monday) to 7; on all, when empty.
    #[serde(default)]
    #[schema(max_items = 7)]
    weekdays: Vec<Weekday>,
    /// From this date on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    first_on: Option<Date>,
    /// Up to this date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    last_on: Option<Date>,
    /// From this energy of the session on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    energy_from_kwh: Option<Kwh>,
    /// Below this energy of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    energy_below_kwh: Option<Kwh>,
}

/// The prices of the four periods.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RatesBody {
    /// 尖.
    sharp: RateBody,
    /// 峰.
    peak: RateBody,
    /// 平.
    flat: RateBody,
    /// 谷.
    valley: RateBody,
}

/// What a kilowatt-hour costs.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateBody {
    /// The energy (电费).
    energy_yuan_per_kwh: YuanPerKwh,
    /// The service (服务费).
    service_yuan_per_kwh: YuanPerKwh,
}

/// What idle time costs.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdleFeeBody {
    /// A minute.
    price_yuan_per_minute: YuanPerMinute,
    /// After so many minutes.
    grace_minutes: WholeMinutes,
    /// Never more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_yuan: Option<Yuan>,
}

/// What of each fee is tax.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxBody {
    /// On energy.
    energy_percent: PercentText,
    /// On service.
    service_percent: PercentText,
    /// On idle time.
    idle_percent: PercentText,
}

impl TermsBody {
    /// As the domain knows them.
    ///
    /// # Errors
    /// When a half-hour is none, or only one end of a range of dates is given.
    pub fn read(self) -> Result<TariffTerms, Problem> {
        let elements = self.elements.into_iter().map(ElementBody::read).collect::<Result<_, _>>()?;
        let idle = self.idle.map(|idle| IdleFee {
            price: idle.price_yuan_per_minute.0,
            grace_minutes: idle.grace_minutes.0,
            most: idle.most_yuan.map(|most| most.0),
        });
        let TaxBody { energy_percent, service_percent, idle_percent } = self.tax;
        Ok(TariffTerms { elements, idle, tax: TaxRates { energy: energy_percent.0, service: service_percent.0, idle: idle_percent.0 } })
    }

    /// As people read them.
    #[must_use]
    pub fn of(terms: &TariffTerms) -> TermsBody {
        TermsBody {
            elements: terms.elements.iter().map(ElementBody::of).collect(),
            idle: terms.idle.map(|idle| IdleFeeBody {
                price_yuan_per_minute: YuanPerMinute(idle.price),
                grace_minutes: WholeMinutes(idle.grace_minutes),
                most_yuan: idle.most.map(Yuan),
            }),
            tax: TaxBody {
                energy_percent: PercentText(terms.tax.energy),
                service_percent: PercentText(terms.tax.service),
                idle_percent: PercentText(terms.tax.idle),
            },
        }
    }
}

impl ElementBody {
    fn read(self) -> Result<TariffElement, Problem> {
        let RestrictionsBody { weekdays, first_on, last_on, energy_from_kwh, energy_below_kwh } = self.restrictions;
        let dates = match (first_on, last_on) {
            (Some(first), Some(last)) => Some(DateRange { first, last }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Problem::new(Kind::InvalidBody, "restrictions: first_on and last_on belong together"));
            }
        };
        let restrictions = Restrictions {
            weekdays: weekdays.into_iter().map(|day| day.0).collect(),
            dates,
            energy_from: energy_from_kwh.map(|energy| energy.0),
            energy_below: energy_below_kwh.map(|energy| energy.0),
        };
        let half_hours: HalfHours =
            self.half_hours.parse().map_err(|error| Problem::new(Kind::InvalidBody, format!("half_hours: {error}")))?;
        let RatesBody { sharp, peak, flat, valley } = self.rates;
        let rates = Rates { sharp: sharp.read(), peak: peak.read(), flat: flat.read(), valley: valley.read() };
        Ok(TariffElement { restrictions, half_hours, rates })
    }

    fn of(element: &TariffElement) -> ElementBody {
        let Restrictions { weekdays, dates, energy_from, energy_below } = &element.restrictions;
        ElementBody {
            restrictions: RestrictionsBody {
                weekdays: weekdays.iter().copied().map(Weekday).collect(),
                first_on: dates.map(|dates| dates.first),
                last_on: dates.map(|dates| dates.last),
                energy_from_kwh: energy_from.map(Kwh),
                energy_below_kwh: energy_below.map(Kwh),
            },
            half_hours: element.half_hours.to_string(),
            rates: RatesBody {
                sharp: RateBody::of(element.rates.sharp),
                peak: RateBody::of(element.rates.peak),
                flat: RateBody::of(element.rates.flat),
                valley: RateBody::of(element.rates.valley),
            },
        }
    }
}

impl RateBody {
    fn read(self) -> Rate {
        Rate { energy: self.energy_yuan_per_kwh.0, service: self.service_yuan_per_kwh.0 }
    }

    fn of(rate: Rate) -> RateBody {
        RateBody { energy_yuan_per_kwh: YuanPerKwh(rate.energy), service_yuan_per_kwh: YuanPerKwh(rate.service) }
    }
}
