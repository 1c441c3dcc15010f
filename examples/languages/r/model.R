# A linear model in R that speaks MLflow's scoring protocol, by plumber.

# plumber reads this file in its own folder.
flats <- read.csv("../flats.csv")
model <- lm(price ~ size * district + rooms, data = flats)
districts <- unique(flats$district)

#* @get /ping
#* @serializer text
function() "\n"

#* @post /invocations
#* @parser json
#* @serializer unboxedJSON list(digits = NA)
function(req, res) {
  asked <- req$body$dataframe_split
  rows <- setNames(as.data.frame(asked$data), asked$columns)
  rows$size <- as.numeric(rows$size)
  rows$rooms <- as.numeric(rows$rooms)
  unknown <- setdiff(rows$district, districts)
  # 400: the row is to blame, not the model, so that it counts as no error of the version.
  refuse <- function(message) {
    res$status <- 400
    list(error_code = "BAD_REQUEST", message = message)
  }
  if (anyNA(rows)) return(refuse("a linear model takes no missing values"))
  if (length(unknown) > 0) return(refuse(paste0("no such district: '", unknown[1], "'")))
  # I(): one prediction is a list of one, too.
  list(predictions = I(unname(predict(model, rows))))
}
