/* time-of-day: refuses new connections outside of given hours.
 *
 *   setting      default     meaning
 *   from         "00:00"     when the hours begin
 *   to           "24:00"     when they end; earlier than from: on the next day
 *   days         every day   weekdays on which they begin: ["mon", "tue"]
 *   utc_offset   0           minutes that local time is ahead of UTC, -720 to 840
 *   tag          none        tag for packets outside of the hours, instead of refusing them
 *
 *   rule 1: outside of the hours
 */
#include "policy.h"

#define DAY_MIN (24 * 60)
#define EPOCH_WEEKDAY 3 /* 1970-01-01 was a Thursday. */

static int64_t from, to = DAY_MIN, utc_offset;
static uint8_t days; /* Bit 0 is Monday. */
static uint16_t tag;

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Reads a time such as 08:30 as minutes. */
static bool minute_setting(const char *key, int64_t *minute) {
  eg_text text;
  int64_t n;
  if (!eg_string(key, 0, &text))
    return !eg_int(key, 0, &n) || eg_bad(key, "` has to be a time such as 08:30");
  const char *c = text.bytes;
  if (text.length != 5 || !digit(c[0]) || !digit(c[1]) || c[2] != ':' || !digit(c[3]) ||
      !digit(c[4]))
    return eg_bad(key, "` has to be a time such as 08:30");
  int64_t minutes = (c[3] - '0') * 10 + c[4] - '0';
  *minute = ((c[0] - '0') * 10 + c[1] - '0') * 60 + minutes;
  return (minutes < 60 && *minute <= DAY_MIN) ||
         eg_bad(key, "` has to be a time such as 08:30");
}

static bool days_setting(void) {
  static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  eg_text text;
  int64_t n;
  for (int32_t index = 0; eg_string("days", index, &text); index++) {
    int day = 0;
    while (day < 7 && !eg_same(text.bytes, names[day])) day++;
    if (day == 7) return eg_bad("days", "` has to name weekdays such as mon");
    days |= (uint8_t)(1 << day);
    if (eg_int("days", index + 1, &n))
      return eg_bad("days", "` has to name weekdays such as mon");
  }
  if (!days && eg_int("days", 0, &n))
    return eg_bad("days", "` has to name weekdays such as mon");
  if (!days) days = 0x7f;
  return true;
}

static bool setup(void) {
  eg_text name;
  if (!minute_setting("from", &from) || !minute_setting("to", &to)) return false;
  if (from == to) return eg_fail("settings `from` and `to` are the same", "", "");
  if (!days_setting() || !eg_number("utc_offset", -720, 840, &utc_offset)) return false;
  if (!eg_text_setting("tag", &name)) return false;
  if (name.length) tag = eg_find_tag(name.bytes);
  return true;
}

static bool begins_on(int64_t day) { return days >> ((day + EPOCH_WEEKDAY) % 7) & 1; }

static bool is_within(int64_t wall_s) {
  /* A week more keeps the first days of 1970 west of Greenwich positive. */
  int64_t minutes = wall_s / 60 + utc_offset + 7 * DAY_MIN;
  int64_t day = minutes / DAY_MIN, minute = minutes % DAY_MIN;
  if (from < to) return minute >= from && minute < to && begins_on(day);
  return (minute >= from && begins_on(day)) || (minute < to && begins_on(day - 1));
}

static eg_decision decide(const eg_packet *packet) {
  if (is_within(eg_clock(EG_CLOCK_WALL_S))) return EG_GO_ON;
  if (tag) return (eg_decision){.action = EG_CONTINUE, .tag = tag};
  eg_decision decision = eg_refuse(packet);
  decision.rule = 1;
  return decision;
}

EG_POLICY(setup, decide)
