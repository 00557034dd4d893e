// A square of numbers to paint: a click or a stroke gives cells the chosen value; Python receives them row by row.
const CELL = 56;
const VALUES = [-1, 0, 1];

function render({ model, el }) {
  const side = Math.round(Math.sqrt(model.get("weights").length));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side * CELL;
  canvas.className = "vae-course-kernel";
  canvas.style.cssText = "border: 2px solid #0072B2; touch-action: none; cursor: pointer";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "kernel: click a cell to go from 0 to 1 to -1 and back");
  const context = canvas.getContext("2d");
  let weights = model.get("weights").slice();
  let brush = null;

  const paint = () => {
    context.font = "20px sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    weights.forEach((w, i) => {
      const [x, y] = [(i % side) * CELL, Math.floor(i / side) * CELL];
      context.fillStyle = w > 0 ? "#0072B2" : w < 0 ? "#D55E00" : "#ffffff";
      context.fillRect(x, y, CELL, CELL);
      context.strokeStyle = "#999999";
      context.strokeRect(x, y, CELL, CELL);
      context.fillStyle = w === 0 ? "#000000" : "#ffffff";
      context.fillText(String(w).replace("-", "−"), x + CELL / 2, y + CELL / 2);
    });
  };
  const cell = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * side);
    const row = Math.floor(((event.clientY - box.top) / box.height) * side);
    return row >= 0 && row < side && column >= 0 && column < side ? row * side + column : -1;
  };
  canvas.addEventListener("pointerdown", (event) => {
    const i = cell(event);
    if (i < 0) return;
    canvas.setPointerCapture(event.pointerId);
    const now = VALUES.indexOf(weights[i]);
    brush = now < 0 ? 1 : VALUES[(now + 1) % VALUES.length];
    weights[i] = brush;
    paint();
  });
  canvas.addEventListener("pointermove", (event) => {
    const i = cell(event);
    if (brush === null || i < 0 || weights[i] === brush) return;
    weights[i] = brush;
    paint();
  });
  const lift = () => {
    if (brush === null) return;
    brush = null;
    model.set("weights", weights.slice());
    model.save_changes();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  model.on("change:weights", () => {
    if (brush !== null) return;
    weights = model.get("weights").slice();
    paint();
  });
  paint();
  el.append(canvas);
}

export default { render };
