// Show the number of the slider.
const range = document.getElementById("weight");
const share = document.getElementById("share");
range.addEventListener("input", () => { share.value = range.value; });
share.value = range.value;
