// Goes on as soon as it is over. What somebody is writing stays: the page is not loaded again before that.
const standing = document.getElementById("standing");
const said = document.getElementById("said");
const look = () => location.replace(standing.dataset.page);

const events = new EventSource(standing.dataset.events);
events.addEventListener("state", (event) => {
  const told = JSON.parse(event.data);
  if (told.state !== "pending") {
    events.close();
    look();
    return;
  }
  document.querySelectorAll("[data-given]").forEach((one, number) => {
    const { approved, min } = told.given[number];
    one.textContent = `${approved} of ${min}`;
  });
});
events.addEventListener("open", () => {
  said.textContent = "You can wait here: this page goes on by itself.";
});
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) {
    // It was refused: there are too many, or this page may not look any more.
    setTimeout(look, 10_000);
  } else {
    said.textContent = "The connection was lost. This page tries again by itself.";
  }
});
