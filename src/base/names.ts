const LEFT =
  "amber bold brisk calm clever coastal copper crisp dapper eager fair fleet gentle golden hardy humble jolly keen kind lively loyal lucky mellow merry mighty nimble noble patient placid plucky proud quick quiet ready rugged salty serene sharp silver snug spry steady stout sturdy sunny swift tidy trim trusty vivid wary willing windward wise witty worthy zesty".split(
    " ",
  );
const RIGHT =
  "anchor ballast barge beacon binnacle boom bosun bow brig buoy capstan cargo clipper compass cove crane current cutter davit deck derrick dinghy dock dory ferry fjord galley gangway gunwale halyard harbor hatch hawser helm hull jetty jib keel ketch kite lagoon ledger lighter lock lugger mast mole mooring oar packet pier pilot pontoon port punt quay reef rigger rudder sail schooner scow shoal skiff sloop spar stern tender tide tiller trawler tug wharf winch wherry yard yawl".split(
    " ",
  );

/** A random two-word name for a container that was given none, e.g. `brisk_skiff`; `attempt` > 0 adds digits, as a free name gets rarer. */
export function randomName(attempt = 0): string {
  const pick = (words: string[]): string => words[Math.floor(Math.random() * words.length)] ?? "lone";
  const name = `${pick(LEFT)}_${pick(RIGHT)}`;
  return attempt === 0 ? name : `${name}${Math.floor(Math.random() * 10 ** attempt)}`;
}
