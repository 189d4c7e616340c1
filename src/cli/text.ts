/** A text of at most `width` characters: the end of a longer one becomes `…`. */
export function ellipsis(text: string, width: number): string {
  if (text.length <= width) return text;
  const letters = Array.from(text);
  return letters.length <= width ? text : `${letters.slice(0, width - 1).join("")}…`;
}

/** Labels as `a=b,c=d`, sorted. */
export function labelsText(labels: Record<string, string> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}

const two = (value: number): string => String(value).padStart(2, "0");

/** A time in the user's zone, as Go prints it: `2026-11-22 18:13:40 +0000 UTC`. */
export function localTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${time} ${zoneOffset(date)} ${zoneName(date)}`;
}

/** The zone's distance from UTC: `+0200`. */
export function zoneOffset(date: Date, separator = ""): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}${separator}${two(size % 60)}`;
}

function zoneName(date: Date): string {
  if (date.getTimezoneOffset() === 0 && (process.env["TZ"] ?? "UTC").includes("UTC")) return "UTC";
  return (
    new Intl.DateTimeFormat("en-US", { timeZoneName: "short" })
      .formatToParts(date)
      .find(({ type }) => type === "timeZoneName")
      ?.value.replace(/^GMT.*/, zoneOffset(date)) ?? "UTC"
  );
}
