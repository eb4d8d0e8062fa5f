/* blocklist: blocks addresses of a table: countries, scanners, advertisers.
 *
 *   setting   default       meaning
 *   table     "blocklist"   the address table
 *   log       false         whether to log what is blocked
 *
 *   rule 1: from an address of the table, dropped silently
 *   rule 2: to an address of the table, refused, so that its sender sees an error
 *
 * Both count in "blocked".
 */
#include "policy.h"

static eg_table table;
static eg_counter blocked;
static bool logging;

static bool setup(void) {
  eg_text name = {0};
  if (!eg_text_setting("table", &name)) return false;
  if (!name.length) eg_append(&name, "blocklist");
  if (!eg_find_table(&table, name.bytes)) {
    eg_append(&name, "`");
    return eg_fail("setting `table`: there is no table `", name.bytes, "");
  }
  eg_find_counter(&blocked, "blocked");
  return eg_flag("log", &logging);
}

static eg_decision decide(const eg_packet *packet) {
  eg_decision decision;
  if (eg_contains(table, packet->src)) {
    decision = (eg_decision){.action = EG_BLOCK, .rule = 1};
  } else if (eg_contains(table, packet->dst)) {
    decision = eg_refuse(packet);
    decision.rule = 2;
  } else {
    return EG_GO_ON;
  }
  eg_add(blocked, 1);
  decision.log = logging;
  return decision;
}

EG_POLICY(setup, decide)
