// Numbers, sizes and times as people read them.

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export const none = "–";

export function size(bytes) {
  if (bytes === null || bytes === undefined) return none;
  let at = 0;
  while (bytes >= 1024 && at < SIZES.length - 1) { bytes /= 1024; at += 1; }
  return `${at && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${SIZES[at]}`;
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return none;
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return seconds < 600 ? `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")} min` : `${minutes} min`;
  const hours = seconds / 3600;
  return hours < 48 ? `${Math.floor(hours)}:${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} h`
    : `${(hours / 24).toFixed(1)} days`;
}

export function when(time) {
  if (!time) return none;
  const date = new Date(time * 1000), today = new Date();
  const clock = date.toLocaleTimeString([], { hour12: false });
  return date.toDateString() === today.toDateString() ? clock : `${date.toLocaleDateString()} ${clock}`;
}

export const count = (n) => (n === null || n === undefined ? none : n.toLocaleString("en"));

/** What a job's end was, in a few words. */
export function ending(job) {
  if (job.outcome === "failed" && job.exit_status !== null) return `failed, status ${job.exit_status}`;
  if (job.outcome === "signalled") return `signal ${job.signal}`;
  return job.outcome ? job.outcome.replaceAll("_", " ") : "";
}
